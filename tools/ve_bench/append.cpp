#include <rocksdb/db.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <stdexcept>

#include "store/event_log.hpp"
#include "store/memory_kv.hpp"
#include "store/rocks_options.hpp"
#include "tools/ve_bench/bench.hpp"
#include "tools/ve_bench/workload.hpp"

namespace ved::bench {
namespace {

constexpr int in_flight = 256;
constexpr int waves = 30;  // of in_flight jobs, each through its whole life
constexpr int groups = waves * events_per_job;
constexpr int events = groups * in_flight;
constexpr int rounds = 5;
constexpr double ratio_min = 0.5;

using group = std::vector<store::append_request>;
using batch = std::vector<store::kv_write>;

/// Keeps what the log writes, so that the raw side can write the very same bytes.
class recorder final : public store::kv {
 public:
  recorder(std::unique_ptr<store::kv> below, std::vector<batch>& into)
      : below_(std::move(below)), into_(into) {}

  result<void> write(const batch& writes, store::durability how) override {
    into_.push_back(writes);
    return below_->write(writes, how);
  }
  result<std::optional<std::string>> get(store::table where, std::string_view key) const override {
    return below_->get(where, key);
  }
  result<void> scan(
      store::table where, std::string_view prefix, std::string_view from,
      const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return below_->scan(where, prefix, from, visit);
  }
  result<std::optional<std::pair<std::string, std::string>>> last(
      store::table where, std::string_view prefix) const override {
    return below_->last(where, prefix);
  }
  result<std::uint64_t> rows_at_most(store::table where) const override {
    return below_->rows_at_most(where);
  }
  result<void> clear(store::table where) override { return below_->clear(where); }
  result<void> checkpoint(const std::string& directory) override {
    return below_->checkpoint(directory);
  }
  result<void> is_apart_from(const std::string& directory) const override {
    return below_->is_apart_from(directory);
  }
  std::uint64_t bytes_on_disk() const override { return below_->bytes_on_disk(); }

 private:
  std::unique_ptr<store::kv> below_;
  std::vector<batch>& into_;
};

template <class T>
T must(result<T> from) {
  if (!from) throw std::runtime_error(from.error().message);
  return std::move(*from);
}

void must(const rocksdb::Status& status) {
  if (!status.ok()) throw std::runtime_error("raw RocksDB: " + status.ToString());
}

std::vector<group> make_groups() {
  std::vector<group> all;
  for (int wave = 0; wave < waves; ++wave) {
    std::vector<job_life> jobs;
    for (int i = 0; i < in_flight; ++i)
      jobs.emplace_back(static_cast<std::uint64_t>(wave * in_flight + i));
    for (int step = 0; step < events_per_job; ++step) {
      group next;
      for (auto& job : jobs) next.push_back(job.next());
      all.push_back(std::move(next));
    }
  }
  return all;
}

void commit_all(store::event_log& log, const std::vector<group>& all) {
  std::int64_t now_us = 1'800'000'000'000'000;
  for (const auto& requests : all)
    for (const auto& ack : must(log.commit(requests, from_us(++now_us))))
      if (!ack) throw std::runtime_error(ack.error().message);
}

/// Events of all that is open, each written by a thread of its own, while the last one is not done.
template <class Open, class Write>
double events_per_second(const std::vector<std::string>& directories, const Open& open,
                         const Write& write) {
  using opened = decltype(open(directories.front()));
  std::vector<opened> all;
  for (const auto& directory : directories) all.push_back(open(directory));
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::future<void>> writers;
  for (auto& one : all)
    writers.push_back(std::async(std::launch::async, [&write, &one] { write(one); }));
  for (auto& one : writers) one.get();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(directories.size()) * events / taken.count();
}

double measure_logs(const std::vector<std::string>& directories, const std::vector<group>& all) {
  return events_per_second(
      directories,
      [](const std::string& directory) {
        return must(
            store::event_log::open(must(store::open_rocks(directory, true)), job_log_options()));
      },
      [&](const std::unique_ptr<store::event_log>& log) { commit_all(*log, all); });
}

class raw_database {
 public:
  explicit raw_database(const std::string& directory) {
    auto options = store::database_options(std::make_shared<store::complaint_logger>());
    options.create_if_missing = true;
    rocksdb::DB* raw = nullptr;
    must(rocksdb::DB::Open(options, directory, store::family_descriptors(), &families_, &raw));
    database_.reset(raw);
  }
  ~raw_database() {
    for (auto* family : families_) database_->DestroyColumnFamilyHandle(family);
  }

  void write(const std::vector<batch>& all) {
    rocksdb::WriteOptions synced;
    synced.sync = true;
    for (const auto& writes : all) {
      rocksdb::WriteBatch raw_batch;
      for (const auto& one : writes) {
        auto* family = families_[static_cast<std::size_t>(one.where) + 1];
        must(one.value ? raw_batch.Put(family, one.key, *one.value)
                       : raw_batch.Delete(family, one.key));
      }
      must(database_->Write(synced, &raw_batch));
    }
  }

 private:
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::unique_ptr<rocksdb::DB> database_;
};

/// The floor: the same options, the same batches, nothing else.
double measure_raw(const std::vector<std::string>& directories, const std::vector<batch>& all) {
  return events_per_second(
      directories,
      [](const std::string& directory) { return std::make_unique<raw_database>(directory); },
      [&](const std::unique_ptr<raw_database>& database) { database->write(all); });
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::size_t bytes_of(const std::vector<batch>& all) {
  std::size_t bytes = 0;
  for (const auto& writes : all)
    for (const auto& one : writes) bytes += one.key.size() + (one.value ? one.value->size() : 0);
  return bytes;
}

/// So many logs at a time, as so many clusters have them.
int compare(const bench_options& options, int logs, const std::vector<group>& all,
            const std::vector<batch>& batches) {
  std::vector<double> log_rates;
  std::vector<double> raw_rates;
  // Alternating, so that a disk that slows down slows both.
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::string> of_raw;
    std::vector<std::string> of_logs;
    for (int n = 0; n < logs; ++n) {
      const auto name = options.directory + "/append-" + std::to_string(logs) + "-" +
                        std::to_string(round) + "-" + std::to_string(n);
      of_raw.push_back(name + "-raw");
      of_logs.push_back(name + "-log");
    }
    raw_rates.push_back(measure_raw(of_raw, batches));
    log_rates.push_back(measure_logs(of_logs, all));
    for (const auto& one : of_raw) std::filesystem::remove_all(one);
    for (const auto& one : of_logs) std::filesystem::remove_all(one);
  }
  const auto raw = median(raw_rates);
  const auto log = median(log_rates);
  const auto ratio = log / raw;
  const auto bytes_per_event = bytes_of(batches) / events;
  if (options.json) {
    std::printf(
        "{\"benchmark\": \"append\", \"logs\": %d, \"events\": %d, \"in_flight\": %d, "
        "\"bytes_per_event\": %zu, \"raw_events_per_second\": %.0f, "
        "\"log_events_per_second\": %.0f, \"ratio\": %.3f, \"ratio_min\": %.2f}\n",
        logs, events, in_flight, bytes_per_event, raw, log, ratio, ratio_min);
  } else {
    std::printf("append, %d log%s at a time: %d job events each, %d in flight, %zu bytes written "
                "per event, median of %d\n",
                logs, logs == 1 ? "" : "s", events, in_flight, bytes_per_event, rounds);
    std::printf("  raw synced RocksDB batches  %9.0f events/s\n", raw);
    std::printf("  event log commit            %9.0f events/s\n", log);
    std::printf("  ratio                       %9.2f   target >= %.2f  %s\n", ratio, ratio_min,
                ratio >= ratio_min ? "met" : "MISSED");
  }
  return ratio >= ratio_min ? 0 : 1;
}

}  // namespace

int run_append(const bench_options& options) {
  const auto all = make_groups();
  std::vector<batch> batches;
  {
    auto log = must(store::event_log::open(
        std::make_unique<recorder>(store::open_memory(std::make_shared<store::memory_disk>()),
                                   batches),
        job_log_options()));
    commit_all(*log, all);
  }
  int code = 0;
  for (const int logs : {1, 2}) code = std::max(code, compare(options, logs, all, batches));
  return code;
}

}  // namespace ved::bench
