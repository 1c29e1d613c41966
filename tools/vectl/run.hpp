#pragma once

#include "tools/vectl/command.hpp"
#include "tools/vectl/context.hpp"

/// Carries commands out. Every function prints its result or its problem, and says how it went.
namespace vectl {

exit_code run(const command& what, context& with);

exit_code run(const job_submit& what, context& with);
exit_code run(const job_list& what, context& with);
exit_code run(const job_show& what, context& with);
exit_code run(const job_watch& what, context& with);
exit_code run(const job_events& what, context& with);
exit_code run(const job_explain& what, context& with);
exit_code run(const job_output& what, context& with);
exit_code run(const job_cancel& what, context& with);
exit_code run(const job_hold& what, context& with);
exit_code run(const job_release& what, context& with);
exit_code run(const cluster_list& what, context& with);
exit_code run(const cluster_show& what, context& with);
exit_code run(const health_check& what, context& with);
exit_code run(const status& what, context& with);
exit_code run(const log_verify& what, context& with);
exit_code run(const log_stats& what, context& with);
exit_code run(const log_dump& what, context& with);
exit_code run(const log_events& what, context& with);
exit_code run(const log_rebuild& what, context& with);
exit_code run(const log_backup& what, context& with);
exit_code run(const log_restore& what, context& with);
exit_code run(const config_show& what, context& with);
exit_code run(const config_reload& what, context& with);

/// A spec from a JSON file or from options; clusters are asked for what the options leave open.
std::optional<ved::pb::JobSpec> make_spec(const job_submit& what, context& with);

/// How often followers ask the daemon.
inline constexpr ved::milliseconds follow_interval{250};

}  // namespace vectl
