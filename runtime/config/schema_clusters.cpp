#include "runtime/config/schema.hpp"

// What belongs to one cluster: an item of hpc.clusters, or the single form below hpc.
namespace ved::runtime {
namespace {

constexpr double second = 1'000;
constexpr double hour = 3'600 * second;
constexpr double day = 24 * hour;
constexpr auto later = "this scheduler comes with a later version";

void describe_link(section& into, cluster_config& c) {
  auto& s = into.open("link", "How the scheduler is asked; one set of bounds per cluster.");
  s.add("poll_interval", &c.poll_interval,
        "Between two polls. Not given: the scheduler section's, or job_service.job_poll_interval.")
      .range(100, day)
      .from_another();
  s.add("poll_interval_min", &c.poll_interval_min,
        "How soon the next poll may come while jobs end and few are left. Not given: a tenth of "
        "the interval.")
      .range(poll_interval_min_least.count(), day)
      .from_another();
  s.add("early_poll_nodes_max", &c.early_poll_nodes_max,
        "Clusters with more nodes, counted per queue, are polled sooner than the interval after "
        "hints only; 0: all of them. Not given: 99, or any number if poll_interval_min is given.")
      .range(0, early_poll_nodes_most)
      .from_another();
  s.add("connection_timeout", &c.connection_timeout,
        "For one call. Not given: the scheduler section's.")
      .range(100, hour)
      .from_another();
  s.add("io_workers", &c.io_workers, "Calls at the same time.").range(1, 64);
  s.add("queue_max", &c.queue_max, "Calls that may wait for a worker.").range(1, 1'000'000);
  s.add("submit_batch_max", &c.submit_batch_max, "Submissions in one call.").range(1, 1'000);
  s.add("queries_per_minute_max", &c.queries_per_minute_max,
        "Commands or requests that ask: polls, lookups, inventories, health checks. A poll needs "
        "up to two.")
      .range(1, 60'000);
  s.add("submissions_per_minute_max", &c.submissions_per_minute_max,
        "Submissions and controls; 0: as many as the scheduler takes.")
      .range(0, 1'000'000);
  s.add("message_timeout", &c.message_timeout,
        "The scheduler may act on a message this much later (Slurm: MessageTimeout).")
      .range(0, hour);
  s.add("vanish_grace", &c.vanish_grace, "A job must stay absent this long to count as lost.")
      .range(0, day);
  s.add("breaker_failures", &c.breaker.failures, "Failures in a row that open the breaker.")
      .range(1, 1'000);
  s.add("breaker_open_for", &c.breaker.open_for, "How long it stays open before a trial.")
      .range(100, hour);
}

section local_queue_section(local_queue_config& c) {
  section s;
  s.add("name", &c.name, "The queue_name of jobs.").needed("name is required").formed(is_name);
  return s;
}

void describe_local(section& into, local_config& c) {
  auto& s = into.open("local", "scheduler_type local: processes on this machine.");
  s.add("cpus", &c.cpus, "Slots; 0: all cores.").range(0, 65'536);
  s.add("memory_mb", &c.memory_mb, "0: all memory.").range(0, 1LL << 40);
  s.add("gpus", &c.gpus, "GPUs.").range(0, 1'024);
  s.add("run_as", &c.run_as,
        "User that jobs run as; ved as root must be given one. Empty: its own.")
      .formed(is_name);
  s.add("work_directory", &c.work_directory, "Of the jobs. Empty: STATE/local/CLUSTER.")
      .formed(is_absolute_path);
  s.add("kill_wait", &c.kill_wait, "Between TERM and KILL.").range(0, hour);
  s.add("job_poll_interval", &c.job_poll_interval, "Between two polls.").range(100, day);
  list queues;
  queues.name = "queues";
  queues.doc = "Queues that jobs may name, beside default and local.";
  auto* all = &c.queues;
  queues.append = [all] { return local_queue_section(all->emplace_back()); };
  queues.items = [all] {
    std::vector<section> items;
    for (auto& one : *all) items.push_back(local_queue_section(one));
    return items;
  };
  queues.sample = [] {
    static local_queue_config sample;
    return local_queue_section(sample);
  };
  s.lists.push_back(std::move(queues));
}

void describe_moab(section& into, moab_config& c) {
  auto& s = into.open("moab", "scheduler_type moab.");
  s.not_used = later;
  s.add("server_host", &c.server_host, "Where Moab runs.");
  s.add("server_port", &c.server_port, "Its port.").range(1, 65'535);
  s.add("use_tls", &c.use_tls, "Encrypt the connection.");
  s.add("auth_method", &c.auth_method, "How to prove who we are.")
      .one_of({"password", "key", "kerberos"});
  s.add("username", &c.username, "Empty: MOAB_USERNAME.");
  s.add("password", refused_secret{"the environment variable MOAB_PASSWORD, or password_file"},
        "Refused here: set MOAB_PASSWORD.");
  s.add("password_file", &c.password_file, "File of the password, mode 0600.")
      .formed(is_absolute_path);
  s.add("default_queue", &c.default_queue, "Of jobs that name none.");
  s.add("default_account", &c.default_account, "Account that jobs are charged to.");
  s.add("job_poll_interval", &c.job_poll_interval, "Between two polls.").range(second, day);
  s.add("connection_timeout", &c.connection_timeout, "For one call.").range(100, hour);
  s.add("max_retries", &c.max_retries, "As retry.max_retries, when that is not given.")
      .range(0, 1'000)
      .says("max_retries cannot be negative");
  s.add("waldur_integration", &c.waldur_integration, "Report to Waldur.");
  s.add("waldur_endpoint", &c.waldur_endpoint, "Its API.").formed(is_http_url);
  s.add("ssh_host_key_callback", &c.ssh_host_key_callback, "How the host's key is checked.")
      .one_of({"known_hosts", "pinned", "insecure"});
  s.add("ssh_known_hosts_path", &c.ssh_known_hosts_path, "Empty: ~/.ssh/known_hosts.")
      .formed(is_absolute_path);
  s.add("ssh_host_public_key", &c.ssh_host_public_key, "The pinned key, as in known_hosts.");
}

void describe_ood(section& into, ood_config& c) {
  auto& s = into.open("ood", "scheduler_type ood: Open OnDemand.");
  s.not_used = later;
  s.add("base_url", &c.base_url, "The portal.").formed(is_http_url);
  s.add("cluster", &c.cluster, "Its name for the cluster.");
  s.add("oidc_issuer", &c.oidc_issuer, "Who issues tokens.").formed(is_http_url);
  s.add("oidc_client_id", &c.oidc_client_id, "Our name there.");
  s.add("oidc_client_secret",
        refused_secret{
            "the environment variable OOD_OIDC_CLIENT_SECRET, or oidc_client_secret_file"},
        "Refused here: set OOD_OIDC_CLIENT_SECRET.");
  s.add("oidc_client_secret_file", &c.oidc_client_secret_file, "File of the secret, mode 0600.")
      .formed(is_absolute_path);
  s.add("session_poll_interval", &c.session_poll_interval, "Between two polls.")
      .range(second, day);
  s.add("connection_timeout", &c.connection_timeout, "For one call.").range(100, hour);
  s.add("max_retries", &c.max_retries, "As retry.max_retries, when that is not given.")
      .range(0, 1'000)
      .says("max_retries cannot be negative");
  s.add("slurm_partition", &c.slurm_partition, "Of interactive sessions.");
  s.add("default_hours", &c.default_hours, "Length of a session that names none.").range(1, 8'784);
  s.add("enable_file_browser", &c.enable_file_browser, "Offer it.");
}

}  // namespace

void describe_cluster(section& into, cluster_config& c) {
  into.add("scheduler_type", &c.type, "What runs the jobs.").says("invalid scheduler type");
  into.add("cluster_id", &c.cluster_id, "The cluster's name in jobs; unique.")
      .needed("cluster_id is required when HPC is enabled")
      .formed(is_name);
  describe_link(into, c);
  describe_local(into, c.local);
  describe_slurm(into, c.slurm);
  describe_moab(into, c.moab);
  describe_ood(into, c.ood);
}

}  // namespace ved::runtime
