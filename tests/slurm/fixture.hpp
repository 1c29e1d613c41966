#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "adapters/process/transport.hpp"
#include "adapters/slurm/cluster.hpp"
#include "tests/adapters/conformance.hpp"
#include "tests/support/temp_dir.hpp"

namespace ved::tests {

/// The private Slurm that `tools/slurm_bed env` names in our environment.
inline std::string bed_value(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) FAIL(name << " is not set: run tests/e2e/slurm_conformance.sh");
  return value;
}

/// A Slurm cluster through commands of this machine, with a job directory of its own.
class slurm_fixture : public scheduler_fixture {
 public:
  slurm_fixture() { std::filesystem::create_directory(shared_directory()); }

  void open() { cluster_ = adapters::slurm::open_slurm_cluster(options(), way()); }

  scheduler_features features() const override {
    // The bed tracks processes by their parents (proctrack/linuxproc): no cgroups without root.
    return {.tracks_orphans = false, .same_token_is_same_job = false};
  }
  std::unique_ptr<adapters::scheduler> connect() override {
    return std::move(*adapters::slurm::make_slurm_factory(cluster_)());
  }
  void restart() override {
    cluster_.reset();
    open();
  }
  pb::JobSpec base_spec() const override {
    pb::JobSpec spec;
    spec.set_cluster_id("hpc");
    spec.set_queue_name("default");
    spec.mutable_resources()->set_nodes(1);
    spec.mutable_resources()->set_cpu_cores_per_node(1);
    spec.set_max_runtime_seconds(600);
    return spec;
  }
  std::string shared_directory() const override { return directory_.path() / "shared"; }
  /// Slurm counts limits in minutes, and looks at them every 30 s.
  seconds patience() const override { return seconds{150}; }

 protected:
  adapters::slurm::slurm_options options() const {
    adapters::slurm::slurm_options out;
    out.cluster = "hpc";
    out.shell.conf_file = bed_value("SLURM_CONF");
    out.shell.bin_directory = bed_value("SLURM_BED") + "/shim/bin";
    out.shell.job_directory = directory_.path() / "jobs";
    out.clock = [] {
      return std::chrono::time_point_cast<microseconds>(std::chrono::system_clock::now());
    };
    return out;
  }
  virtual std::shared_ptr<adapters::transport> way() const {
    return adapters::make_process_transport();
  }

 private:
  temp_dir directory_;
  std::shared_ptr<adapters::slurm::slurm_cluster> cluster_;
};

}  // namespace ved::tests
