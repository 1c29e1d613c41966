#pragma once

#include <optional>
#include <string>

#include "adapters/scheduler.hpp"
#include "adapters/slurm/site_rules.hpp"

/// How a job with a container_image is run: apptainer's words. Pure.
namespace ved::adapters::slurm {

/// Why the text names no image that apptainer could run; nullopt: it does, or is empty.
std::optional<std::string> problem_of_image(const std::string& image);

/// The image as one word of the batch script, where $ved_home is the account's home:
///
///     docker://x, oras://..., /a/b.sif   what they say
///     ~/b.sif                            below the home
///     ./b.sif, ../b.sif                  from where the container runtime is started: the home
///     a/b.sif                            a file below the site's image directory; without one,
///                                        below the home
///     a                                  the file a.sif of that directory; without one a
///                                        registry's
///     nvcr.io#a/b:1                      enroot's way to write docker://nvcr.io/a/b:1
///     a/b:1, ghcr.io/a/b                 an image of a registry: docker://
std::string image_word(const std::string& image, const container_options& site);

/// The words that run the job up to the image, the container runtime being $ved_runtime.
std::string container_words(const pb::JobSpec& spec, const container_options& site,
                            bool has_command);

}  // namespace ved::adapters::slurm
