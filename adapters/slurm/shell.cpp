#include "adapters/slurm/shell.hpp"

#include <utility>

namespace ved::adapters::slurm {

program make_program(const shell_environment& around, std::string nonce) {
  surroundings out;
  out.set = {"SLURM_TIME_FORMAT=%s"};
  out.kept = {"SLURM_CONF", "SLURM_CLUSTERS"};
  if (!around.bin_directory.empty())
    out.prelude += "PATH=" + quote(around.bin_directory) + ":$PATH; export PATH\n";
  if (!around.conf_file.empty())
    out.prelude += "SLURM_CONF=" + quote(around.conf_file) + "; export SLURM_CONF\n";
  if (!around.token.empty())
    out.prelude += "SLURM_JWT=" + quote(around.token.reveal()) + "; export SLURM_JWT\n";
  if (!around.clusters.empty())
    out.prelude += "SLURM_CLUSTERS=" + quote(around.clusters) + "; export SLURM_CLUSTERS\n";
  out.prelude += "ved_jobs=" + quote(around.job_directory) + "\n";
  out.prelude += "case $ved_jobs in /*) ;; *) ved_jobs=$HOME/$ved_jobs ;; esac\n";
  return {std::move(out), std::move(nonce)};
}

std::string on_cluster(std::string_view cluster) {
  return cluster.empty() ? "" : "SLURM_CLUSTERS=" + quote(cluster) + " ";
}

std::string clusters_option(std::string_view cluster) {
  return cluster.empty() ? "${SLURM_CLUSTERS:+--clusters=\"$SLURM_CLUSTERS\"}"
                         : "--clusters=" + quote(cluster);
}

}  // namespace ved::adapters::slurm
