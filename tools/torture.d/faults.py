"""Fault plans for VED_FAULTS: which faults strike in one life of the daemon, and how often."""

# The settle time of the torture's configuration is 1.5 s: answers come before and after it.
around_settle_ms = [100, 400, 1200, 1700, 2500]

rates = {
    "reply_lost": [0.05, 0.2, 0.6],
    "slow": [0.05, 0.3],
    "cut": [0.05, 0.3],
    "not_sent": [0.05, 0.3],
    "refused_policy": [0.05, 0.3],
    "late": [0.05, 0.3],
    "forget": [0.05, 0.3, 1.0],
    "query_error": [0.05, 0.3, 0.9],
    "empty_list": [0.05, 0.3, 0.9],
    "lie": [0.02, 0.2],
    "control_lost": [0.1, 0.5],
    "control_not_done": [0.1, 0.5],
}


def fault_plan(draw):
    chosen = draw.sample(sorted(rates), draw.randint(1, 4))
    words = [f"seed={draw.randrange(1 << 31)}"]
    words += [f"{name}={draw.choice(rates[name])}" for name in chosen]
    words += [f"{name}={draw.choice(around_settle_ms)}"
              for name in ("slow_by_ms", "late_by_ms", "forget_for_ms")]
    return ",".join(words)
