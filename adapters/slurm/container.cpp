#include "adapters/slurm/container.hpp"

#include <algorithm>
#include <string_view>

#include "adapters/slurm/shell.hpp"

namespace ved::adapters::slurm {
namespace {

constexpr std::string_view scheme_end = "://";
constexpr std::string_view docker = "docker://";

/// Image files by their usual names.
bool is_file_name(std::string_view image) {
  for (const std::string_view end : {".sif", ".simg", ".img", ".sqsh", ".sqfs"})
    if (image.ends_with(end)) return true;
  return false;
}

bool has_step_up(std::string_view path) {
  while (!path.empty()) {
    const auto part = path.substr(0, path.find('/'));
    if (part == "..") return true;
    path.remove_prefix(std::min(part.size() + 1, path.size()));
  }
  return false;
}

/// "nvcr.io#a/b" and "docker://nvcr.io#a/b": the registry and the image, else none.
std::optional<std::string> without_hash(const std::string& image) {
  const std::string_view name =
      std::string_view(image).substr(image.starts_with(docker) ? docker.size() : 0);
  const auto hash = name.find('#');
  if (hash == std::string_view::npos) return std::nullopt;
  return std::string(docker) + std::string(name.substr(0, hash)) + "/" +
         std::string(name.substr(hash + 1));
}

}  // namespace

std::optional<std::string> problem_of_image(const std::string& image) {
  if (image.starts_with('-') || std::any_of(image.begin(), image.end(), [](unsigned char c) {
        return c < 0x20 || c == 0x7f;
      }))
    return "no name of an image";
  if (image.starts_with('/')) return std::nullopt;
  if (image.starts_with('~') && !image.starts_with("~/"))
    return "the home of another account is not looked for: give the absolute path";
  const bool relative = image.starts_with("~/") || image.starts_with("./") ||
                        image.starts_with("../");
  if (relative) return std::nullopt;
  const bool is_address = image.find(scheme_end) != std::string::npos;
  if (!is_address && is_file_name(image) && has_step_up(image))
    return "a file of the site's image directory has no '..' in its name";
  const auto hash = image.find('#');
  if (hash == std::string::npos || (is_address && !image.starts_with(docker))) return std::nullopt;
  const auto from = image.starts_with(docker) ? docker.size() : 0;
  const auto registry = std::string_view(image).substr(from, hash - from);
  if (registry.empty() || registry.find_first_of("/@") != std::string_view::npos ||
      hash + 1 == image.size() || image.find('#', hash + 1) != std::string::npos)
    return "'#' stands between a registry and its image only, as in nvcr.io#nvidia/cuda:12.2";
  return std::nullopt;
}

std::string image_word(const std::string& image, const container_options& site) {
  if (image.starts_with("~/")) return "\"$ved_home\"/" + quote(image.substr(2));
  const bool is_path = image.starts_with('/') || image.starts_with("./") ||
                       image.starts_with("../");
  if (is_path) return quote(image);
  if (const auto plain = without_hash(image)) return quote(*plain);
  if (image.find(scheme_end) != std::string::npos) return quote(image);
  const bool is_file = is_file_name(image);
  const bool is_word = image.find_first_of("/:@") == std::string::npos;
  if (!site.image_directory.empty() && (is_file || is_word))
    return quote(site.image_directory + "/" + image + (is_file ? "" : ".sif"));
  if (is_file) return "\"$ved_home\"/" + quote(image);
  return quote(std::string(docker) + image);
}

std::string container_words(const pb::JobSpec& spec, const container_options& site,
                            bool has_command) {
  std::string out = "\"$ved_runtime\"";
  out += has_command ? " exec" : " run";
  if (site.nv && spec.resources().gpus_per_node() > 0) out += " --nv";
  if (site.contain) out += " --contain";
  if (!site.overlay.empty()) out += " --overlay " + quote(site.overlay);
  for (const auto& path : site.bind_paths) out += " --bind " + quote(path);
  const auto& work = spec.workload_spec();
  if (!work.working_directory().empty()) out += " --pwd " + quote(work.working_directory());
  return out + " " + image_word(work.container_image(), site);
}

}  // namespace ved::adapters::slurm
