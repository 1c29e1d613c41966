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


def patient_plan(draw):
    """Faults that outlast the settle time by far, so that a second attempt meets the first one."""
    return f"seed={draw.randrange(1 << 31)}," + draw.choice([
        "reply_lost=0.5,forget=1,forget_for_ms=3500",
        "slow=0.5,slow_by_ms=3200",
        "slow=0.3,reply_lost=0.3,forget=0.5,slow_by_ms=2600,forget_for_ms=3000",
        "cut=0.3,slow=0.5,slow_by_ms=2400,empty_list=0.5",
    ])
