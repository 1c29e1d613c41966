#include <catch2/catch.hpp>

#include "tests/adapters/slurm/scripted_site.hpp"

using namespace ved;
using namespace ved::tests;
using namespace ved::adapters;

namespace {

const std::string token = "veaaaaaaaaaaaa";

find_outcome find(scripted_site& site, const std::string& spec_hash = {},
                  time_point sent_at = {}) {
  const lookup what{job_id{"j-0"}, submission_token{token}, spec_hash, sent_at};
  auto out = site.port->find({&what, 1}, scripted_site::until());
  REQUIRE(out.size() == 1);
  return out[0];
}

std::vector<std::string> ids_of(const find_outcome& outcome) {
  std::vector<std::string> out;
  for (const auto& id : as<found>(outcome).ids) out.push_back(id.str());
  return out;
}

}  // namespace

TEST_CASE("slurm find: a job is found by squeue, by sacct or by its output file",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("files", no_files);
  SECTION("squeue") {
    site.reply("squeue", queue_line{}.text());
    CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
  }
  SECTION("squeue, under another name") {
    queue_line renamed;
    renamed.name = "site-17";
    renamed.comment = "ved:" + token;
    site.reply("squeue", renamed.text());
    CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
  }
  SECTION("sacct, which is not asked for an allocation") {
    site.reply("sacct", account_line{}.text());
    CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
    CHECK(site.way->programs.back().find("AllocTRES") == std::string::npos);
  }
  SECTION("the output file, with both of them down") {
    site.fails("squeue", no_controller);
    site.fails("sacct", no_database);
    site.reply("files", "{nonce} j 0\nclaim \nfile 41\n");
    CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
  }
  SECTION("the output file alone: accounting, which answers, tells soon whose number it is") {
    site.reply("files", "{nonce} j 0\nclaim \nfile 41\n");
    CHECK(as<not_known>(find(site)).reason.find("its output file names scheduler job 41, which "
                                                "neither squeue nor accounting lists") == 0);
    SECTION("another cluster of the site took it") {
      account_line taken;
      taken.cluster = "east";
      site.reply("sacct", taken.text());
      site.reply("config", "ClusterName = west\nSLURM_VERSION = 22.05.8\n");
      CHECK(ids_of(find(site)) == std::vector<std::string>{"41@east"});
    }
    SECTION("accounting never lists it") {
      site.now += seconds{14};
      CHECK(std::holds_alternative<not_known>(find(site)));
      site.now += seconds{1};
      CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
    }
  }
  SECTION("several copies, lowest id first, each once") {
    queue_line live;
    live.id = "100";
    site.reply("squeue", live.text());
    account_line older;
    older.id = "99";
    account_line same;
    same.id = "100";
    site.reply("sacct", older.text() + same.text());
    // The job can write files itself: they tell only of what Slurm does not know.
    site.reply("files", "{nonce} j 0\nclaim \nfile 7\nfile 99\n");
    CHECK(ids_of(find(site)) == std::vector<std::string>{"99", "100"});
    site.reply("files", "{nonce} j 0\nclaim " + token + ":100:0:x\n");
    CHECK(ids_of(find(site)) == std::vector<std::string>{"100", "99"});
  }
}

TEST_CASE("slurm find: what bears our token and tells of another spec is not this job",
          "[adapters][slurm]") {
  const std::string ours(64, 'a');
  const std::string other(64, 'b');
  scripted_site site;
  site.reply("files", "{nonce} j 0\nclaim \n");
  const auto mark = [](const std::string& hash) { return "ved:" + token + ":" + hash; };
  const auto found_as = [&] { return find(site, ours); };
  queue_line queued;
  account_line accounted;
  SECTION("squeue tells by its comment") {
    queued.comment = mark(other);
    site.reply("squeue", queued.text());
    CHECK(as<not_known>(found_as()).reason ==
          "scheduler job 41 bears the token " + token +
              ", but was submitted with another spec: it is not job j-0");
    // Who does not know his own hash cannot tell.
    CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
    queued.comment = mark(ours);
    site.reply("squeue", queued.text());
    CHECK(ids_of(found_as()) == std::vector<std::string>{"41"});
  }
  SECTION("accounting tells by the submission line, which outweighs what a job can change") {
    accounted.submit_line = "sbatch --parsable --comment=" + mark(other) + " --nodes=1";
    site.reply("sacct", accounted.text());
    CHECK(std::holds_alternative<not_known>(found_as()));
    accounted.submit_line = "sbatch --parsable --comment=" + mark(ours) + " --nodes=1";
    site.reply("sacct", accounted.text());
    CHECK(ids_of(found_as()) == std::vector<std::string>{"41"});
    queued.comment = mark(other);
    site.reply("squeue", queued.text());
    CHECK(ids_of(found_as()) == std::vector<std::string>{"41"});
  }
  SECTION("the claim tells of what Slurm does not") {
    site.reply("squeue", queued.text());
    site.reply("files", "{nonce} j 0\nclaim " + token + ":41:0:x:" + other + "\n");
    CHECK(std::holds_alternative<not_known>(found_as()));
    site.reply("files", "{nonce} j 0\nclaim " + token + ":41:0:x:" + ours + "\n");
    CHECK(ids_of(found_as()) == std::vector<std::string>{"41"});
    // A job can write its own claim: it is no word against Slurm's.
    queued.comment = mark(ours);
    site.reply("squeue", queued.text());
    site.reply("files", "{nonce} j 0\nclaim " + token + ":41:0:x:" + other + "\n");
    CHECK(ids_of(found_as()) == std::vector<std::string>{"41"});
  }
  SECTION("the claim beside an output file that nobody else knows") {
    site.reply("files", "{nonce} j 0\nclaim " + token + ":41:0:x:" + other + "\nfile 41\n");
    CHECK(std::holds_alternative<not_known>(found_as()));
  }
  SECTION("another one of our own spec is taken") {
    queued.comment = mark(other);
    auto mine = queued;
    mine.id = "42";
    mine.comment = mark(ours);
    site.reply("squeue", queued.text() + mine.text());
    CHECK(ids_of(found_as()) == std::vector<std::string>{"42"});
  }
}

TEST_CASE("slurm find: a job that only accounting goes on calling waiting is lost",
          "[adapters][slurm]") {
  scripted_site site;
  account_line waiting;
  waiting.state = "PENDING";
  waiting.started = waiting.ended = "Unknown";
  site.reply("sacct", waiting.text());
  site.reply("files", no_files);
  CHECK(as<not_known>(find(site)).reason.find("accounting calls 41 PENDING, squeue does not know "
                                              "it since") == 0);
  site.now += seconds{899};
  CHECK(std::holds_alternative<not_known>(find(site)));
  SECTION("only when that has lasted") {
    site.now += seconds{1};
    CHECK(as<absent>(find(site)).sources ==
          "squeue and the job directory; accounting calls 41 PENDING since long");
    site.fails("files", "");
    CHECK(std::holds_alternative<not_known>(find(site)));
    site.reply("files", no_files);
    site.fails("squeue", no_controller);
    CHECK(std::holds_alternative<not_known>(find(site)));
  }
  SECTION("not when") {
    SECTION("it runs") {
      waiting.state = "RUNNING";
      site.reply("sacct", waiting.text());
    }
    SECTION("its last record says that it ended") {
      account_line last;
      last.state = "CANCELLED by 0";
      site.reply("sacct", waiting.text() + last.text());
    }
    SECTION("it left its output file") {
      site.reply("files", "{nonce} j 0\nclaim \nfile 41\n");
    }
    SECTION("squeue shows it") { site.reply("squeue", queue_line{}.text()); }
    CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
  }
}

TEST_CASE("slurm find: a job is absent only if two sources answer", "[adapters][slurm]") {
  scripted_site site;
  site.reply("files", no_files);
  SECTION("squeue and sacct") {
    queue_line foreign;
    foreign.name = "vebbbbbbbbbbbb";
    site.reply("squeue", foreign.text());
    CHECK(as<absent>(find(site)).sources == "squeue and sacct");
  }
  SECTION("squeue and sacct, with an unreadable job directory") {
    site.fails("files", "");
    CHECK(as<absent>(find(site)).sources == "squeue and sacct");
  }
  SECTION("squeue and the job directory, where accounting is off") {
    site.disable_accounting();
    CHECK(std::holds_alternative<absent>(find(site)));
    site.way->asked.clear();
    CHECK(as<absent>(find(site)).sources == "squeue and the job directory");
    CHECK_FALSE(site.was_asked("sacct"));
  }
  SECTION("only one of them: accounting is off and the directory cannot be read") {
    site.disable_accounting();
    site.fails("files", "");
    CHECK(std::holds_alternative<not_known>(find(site)));
    CHECK(std::holds_alternative<not_known>(find(site)));
  }
}

TEST_CASE("slurm find: without the controller's answer nothing is absent", "[adapters][slurm]") {
  scripted_site site;
  site.reply("files", no_files);
  SECTION("squeue fails") {
    site.fails("squeue", no_controller);
    CHECK(as<not_known>(find(site)).reason.find("Unable to contact") != std::string::npos);
  }
  SECTION("squeue fails with exit code 0") { site.fails("squeue", no_controller, 0); }
  SECTION("a row is damaged") { site.reply("squeue", queue_line{}.text().substr(0, 40) + "\n"); }
  SECTION("the connection ends") { site.way->table["squeue"] = {0, "", "", false, true}; }
  SECTION("there is no connection") { site.way->refuses = "no route"; }
  CHECK(std::holds_alternative<not_known>(find(site)));
}

TEST_CASE("slurm find: where jobs are renamed accounting is asked without names",
          "[adapters][slurm]") {
  scripted_site site;
  site.reply("files", no_files);
  (void)find(site);
  CHECK(site.way->programs.back().find("--name='" + token + "'") != std::string::npos);
  queue_line renamed;
  renamed.name = "site-17";
  renamed.comment = "ved:" + token;
  const bool waits = GENERATE(true, false);  // one that runs may have renamed itself
  renamed.state = waits ? "PENDING" : "RUNNING";
  site.reply("squeue", renamed.text());
  const tracked_job job{scheduler_job_id{"41"}, submission_token{token}, job_id{"j-0"}};
  REQUIRE(site.port->observe({&job, 1}, poll_kind::full, scripted_site::until()));
  site.reply("squeue", "");
  account_line end;
  end.name = "site-17";
  end.submit_line = "sbatch --comment=ved:" + token;
  site.reply("sacct", end.text());
  CHECK(ids_of(find(site)) == std::vector<std::string>{"41"});
  CHECK((site.way->programs.back().find("--name=") == std::string::npos) == waits);
  site.now += seconds{86'400};  // what was seen so long ago tells nothing of today
  (void)find(site);
  CHECK(site.way->programs.back().find("--name=") != std::string::npos);
}

TEST_CASE("slurm find: who bears a part of our mark is a stranger", "[adapters][slurm]") {
  scripted_site site;
  site.reply("files", no_files);
  queue_line stranger;
  SECTION("the token without the spec") { stranger.comment = "ved:" + token; }
  SECTION("nothing, where Slurm shows the comments of others") {
    stranger.comment = "";
    queue_line other;
    other.id = "40";
    other.name = "vebbbbbbbbbbbb";
    other.comment = "ved:vebbbbbbbbbbbb:0123abcd";
    site.reply("squeue", other.text() + stranger.text());
    CHECK_FALSE(std::holds_alternative<found>(find(site, "0123abcd")));
  }
  site.reply("squeue", stranger.text());
  if (!stranger.comment.empty())
    CHECK_FALSE(std::holds_alternative<found>(find(site, "0123abcd")));
  // A site may show no comments at all.
  stranger.comment = "";
  site.reply("squeue", stranger.text());
  CHECK(ids_of(find(site, "0123abcd")) == std::vector<std::string>{"41"});
}

TEST_CASE("slurm find: without accounting a directory that is gone proves nothing by itself",
          "[adapters][slurm]") {
  scripted_site site;
  const auto configure = [&](std::int64_t booted_at, const std::string& min_job_age = "300 sec") {
    site.reply("config", "BOOT_TIME = " + std::to_string(booted_at) +
                             "\nClusterName = east\nMinJobAge = " + min_job_age +
                             "\nSLURM_VERSION = 22.05.8\n");
  };
  configure(1'799'000'000);
  site.reply("clock", "1800000100\n");  // 100 s ahead of ours
  site.reply("files", no_files + "gone\n");
  const auto lookup = [&](std::int64_t seconds_ago) {
    return find(site, {}, site.now - seconds{seconds_ago});
  };
  CHECK(as<absent>(lookup(4000)).unproven.empty());  // accounting denies it
  site.disable_accounting();
  (void)lookup(10);
  CHECK(as<absent>(lookup(290)).unproven.empty());
  CHECK(as<absent>(lookup(310)).unproven.find("its directory is not there") == 0);
  CHECK_FALSE(as<absent>(find(site)).unproven.empty());
  SECTION("the controller has started since") {
    configure(1'800'000'000);
    CHECK(as<absent>(lookup(90)).unproven.empty());
    CHECK_FALSE(as<absent>(lookup(110)).unproven.empty());
  }
  SECTION("what ended stays there for ever") {
    configure(1'799'000'000, "0 sec");
    CHECK(as<absent>(lookup(9000)).unproven.empty());
  }
  SECTION("the controller does not tell") {
    configure(0);
    CHECK_FALSE(as<absent>(lookup(10)).unproven.empty());
  }
  SECTION("it is there, and empty") {
    site.reply("files", no_files);
    CHECK(as<absent>(lookup(9000)).unproven.empty());
  }
}
