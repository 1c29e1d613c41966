#pragma once

#include <caf/atom.hpp>
#include <caf/typed_actor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/job/core.hpp"
#include "actors/link/core.hpp"
#include "actors/shell/port_calls.hpp"
#include "messages/api.pb.h"
#include "store/event_log.hpp"

/// The daemon's actors and everything that they say to each other, on one page. All of it stays
/// inside the process; what crosses machines is protobuf (see gateway_interface.hpp).
namespace ved::actors {

// --- event log: the single writer, detached ------------------------------------------------------
struct append_reply {
  result<store::append_ack> outcome;
};
using flush_atom = caf::atom_constant<caf::atom("flush")>;
using barrier_atom = caf::atom_constant<caf::atom("barrier")>;

using event_log_actor = caf::typed_actor<
    // Makes events durable; everything that waits shares the next sync. errc::conflict fences.
    caf::replies_to<store::append_request>::with<append_reply>,
    // Answered when all appends that came before are committed.
    caf::replies_to<barrier_atom>::with<barrier_atom>,
    // To itself: commit what has queued up.
    caf::reacts_to<flush_atom>>;

// --- scheduler link: one per cluster -------------------------------------------------------------
struct link_want {
  job_id job;
  core::link::desired what;
};
struct link_completion {
  core::link::order_id order = 0;
  order_result result;
};
struct link_hints {
  std::vector<core::link::hint> hints;
};
struct cluster_reply {
  pb::Cluster cluster;
};
struct ask_about {
  job_id job;
};
struct about_reply {
  core::link::job_note note;
};
struct checked_health : adapters::health {
  time_point at;  ///< when the scheduler answered; unset: it was not asked
};
struct health_reply {
  result<checked_health> outcome;
};
struct job_report {
  job_id job;
  core::job::command what;
};
using tick_atom = caf::atom_constant<caf::atom("tick")>;
using pump_atom = caf::atom_constant<caf::atom("pump")>;
using describe_atom = caf::atom_constant<caf::atom("describe")>;
using check_health_atom = caf::atom_constant<caf::atom("health")>;

/// Takes the reports of all links.
using report_sink = caf::typed_actor<
    // What a cluster has to say about one job.
    caf::reacts_to<job_report>>;
struct subscribe_reports {
  report_sink sink;
};

using link_actor = caf::typed_actor<
    // Replaces what a job needs from the cluster.
    caf::reacts_to<link_want>,
    // An I/O worker has finished an order.
    caf::reacts_to<link_completion>,
    // A watcher says that jobs have started or ended.
    caf::reacts_to<link_hints>,
    // Reports go to this sink from now on.
    caf::reacts_to<subscribe_reports>,
    // To itself: time has passed.
    caf::reacts_to<tick_atom>,
    // To itself: start what is due, once for many wants.
    caf::reacts_to<pump_atom>,
    // State of the connection and last inventory.
    caf::replies_to<describe_atom>::with<cluster_reply>,
    // What it knows of one job.
    caf::replies_to<ask_about>::with<about_reply>,
    // Asks the scheduler itself, within its budget: who asks meanwhile or soon after shares the
    // answer.
    caf::replies_to<check_health_atom>::with<health_reply>>;

// --- job -----------------------------------------------------------------------------------------
/// The link of this cluster is a new one.
struct cluster_restarted {
  cluster_id cluster;
};
using dismiss_atom = caf::atom_constant<caf::atom("dismiss")>;

struct requester {
  std::string principal;
  std::string request_id;  ///< empty: none
  std::string token_id = {};  ///< which of the tokens of that name; empty: none
};
struct submit_job {
  requester who;
  std::shared_ptr<const pb::JobSpec> spec;  ///< canonical
  std::string spec_hash;
  bool limit_is_default = false;  ///< of its time: the request named none
};
struct ask_job {
  requester who;
  job_id job;
  core::job::command what;  ///< cancel, hold or release
};
struct job_snapshot {
  pb::JobRecord record;
  std::uint64_t version = 0;
  bool already_known = false;  ///< submit: the same spec had been accepted before
};
struct job_reply {
  result<job_snapshot> outcome;
};

using job_actor = caf::typed_actor<
    // The first message to a new job; later ones are compared with its spec.
    caf::replies_to<submit_job>::with<job_reply>,
    // An operator's or customer's command: answered once durable.
    caf::replies_to<ask_job>::with<job_reply>,
    // News from the cluster, or the registry's wake-up.
    caf::reacts_to<job_report>,
    // Its cluster's link knows nothing of it.
    caf::reacts_to<cluster_restarted>,
    // From the registry: no message follows, go.
    caf::reacts_to<dismiss_atom>>;

// --- job registry: the one owner of id -> job ----------------------------------------------------
using recover_atom = caf::atom_constant<caf::atom("recover")>;

struct wake_job {
  job_id job;
  time_point at;
};
struct job_ended {
  job_id job;
};
struct registry_view {
  std::uint64_t live_jobs = 0;
  bool recovered = false;  ///< every live job of the log has its actor
  bool answers = true;     ///< false: it did not in time, and the rest is not known
};

using registry_actor = caf::typed_actor<
    caf::replies_to<submit_job>::with<job_reply>,
    caf::replies_to<ask_job>::with<job_reply>,
    caf::reacts_to<job_report>,
    // A job asks to be sent `advance` at a moment; the latest wish counts.
    caf::reacts_to<wake_job>,
    // A job is terminal and wants to go.
    caf::reacts_to<job_ended>,
    // To itself: wake what is due; respawn what died.
    caf::reacts_to<tick_atom>,
    // To itself: start the actors of the next stored live jobs.
    caf::reacts_to<recover_atom>,
    // Whoever starts links has started another one of this cluster.
    caf::reacts_to<cluster_restarted>,
    caf::replies_to<describe_atom>::with<registry_view>>;

// --- ingress: where threads outside the actor system hand commands in ----------------------------
struct ingress_submit {
  submit_job what;
  std::function<void(result<job_snapshot>)> done;
};
struct ingress_ask {
  ask_job what;
  std::function<void(result<job_snapshot>)> done;
};
struct ingress_describe {
  std::function<void(std::vector<pb::Cluster>, registry_view)> done;
};
struct ingress_ask_about {
  cluster_id cluster;
  job_id job;
  std::function<void(result<core::link::job_note>)> done;
};
struct ingress_check_health {
  cluster_id cluster;
  std::function<void(result<checked_health>)> done;
};
using ingress_actor = caf::typed_actor<
    // Each calls `done` exactly once, within the request time-out.
    caf::reacts_to<ingress_submit>, caf::reacts_to<ingress_ask>,
    caf::reacts_to<ingress_describe>, caf::reacts_to<ingress_ask_about>,
    caf::reacts_to<ingress_check_health>>;

}  // namespace ved::actors

// None of these leaves the process.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::store::append_request)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::append_reply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::link_want)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::link_completion)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::link_hints)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::cluster_reply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ask_about)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::about_reply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::health_reply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::job_report)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::subscribe_reports)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::submit_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ask_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::job_reply)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::wake_job)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::job_ended)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::cluster_restarted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::registry_view)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ingress_submit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ingress_ask)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ingress_describe)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ingress_ask_about)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ved::actors::ingress_check_health)
