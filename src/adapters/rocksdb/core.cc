#include "adapters/rocksdb/core.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include "base/log.h"

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

// What RocksDB has to say, in our log. Its own file lies on the disk that may be full, and a build
// of RocksDB with assertions ends the program where it writes there once more after a fault.
class ToOurLog : public rdb::Logger {
 public:
  ToOurLog() : rdb::Logger(rdb::InfoLogLevel::WARN_LEVEL) {}
  using rdb::Logger::Logv;
  void Logv(const char* format, va_list values) override {
    std::array<char, 1'000> text{};
    std::vsnprintf(text.data(), text.size(), format, values);
    log::warn("rocksdb", {{"said", std::string(text.data())}});
  }
};

rdb::DBOptions database_options() {
  rdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.max_open_files = 256;
  options.max_background_jobs = 2;
  // A family that is seldom written must not keep the logs of all the others alive.
  options.max_total_wal_size = 64 << 20;
  options.info_log = std::make_shared<ToOurLog>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

// What a family is for, and what memory it may take.
struct Use {
  bool points = true;  // its keys are looked for one by one: it has filters
  // Of its newest rows, before they become a file; twice as much while one is written.
  std::size_t buffer = 1 << 20;
  int files = 4;                // of them, before they are merged
  std::size_t block = 4 << 10;  // what is read of a file at once
};

// What is served is looked for at random, and much of it more than once.
constexpr Use of_rows{.buffer = 16 << 20};
// The log and what finds its records grow at their ends: large buffers gain them nothing. At 2 MB
// the server takes 6 MB less under load than at 4 MB, and no more time a call; twice as many files
// are as much to merge. Who reads records reads on and on: four times as much at once is a quarter
// of the index.
constexpr Use of_records{.points = false, .buffer = 2 << 20, .files = 8, .block = 16 << 10};
constexpr Use of_places{.buffer = 2 << 20, .files = 8};
constexpr Use of_positions{};

rdb::ColumnFamilyOptions family_options(const std::shared_ptr<rdb::Cache>& cache, const Use& use) {
  rdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  // In parts: one filter of a file with a million keys is larger than a shard of the cache, which
  // then never keeps it, and every look at a key reads it whole.
  table.index_type = rdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = use.points;
  table.metadata_block_size = 4'096;
  table.block_size = use.block;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  if (use.points) table.filter_policy.reset(rdb::NewBloomFilterPolicy(10));
  rdb::ColumnFamilyOptions options;
  options.write_buffer_size = use.buffer;
  options.max_write_buffer_number = 2;
  options.level0_file_num_compaction_trigger = use.files;
  // What is not there is most often not there: the newest rows have a filter too, as files do.
  if (use.points) {
    options.memtable_prefix_bloom_size_ratio = 0.02;
    options.memtable_whole_key_filtering = true;
  }
  options.table_factory.reset(rdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

Error fault(const rdb::Status& status) {
  const std::string text = "RocksDB: " + status.ToString();
  if (status.IsNoSpace() || status.IsMemoryLimit()) return {Code::resource_exhausted, text};
  if (status.IsCorruption()) return {Code::data_loss, text};
  if (status.IsInvalidArgument()) return {Code::invalid_argument, text};
  if (status.IsIOError() || status.IsBusy() || status.IsTryAgain() || status.IsTimedOut())
    return {Code::unavailable, text};
  return {Code::internal, text};
}

Result<std::unique_ptr<Core>> Core::open(const std::string& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) return Error{Code::unavailable, "cannot make " + directory + ": " + failed.message()};
  // Every file that is made leaves its filters and indexes in the cache, so in time it is full. The
  // log's has room for the filters of three million predictions; rows have one of their own.
  // Few threads read, and a shard must hold what a file needs.
  constexpr int shard_bits = 3, log_shard_bits = 1;
  const auto cache = rdb::NewLRUCache(32 << 20, shard_bits);
  const auto log_cache = rdb::NewLRUCache(4 << 20, log_shard_bits);
  std::vector<rdb::ColumnFamilyDescriptor> families = {
      {rdb::kDefaultColumnFamilyName, family_options(log_cache, of_positions)},
      {"kv", family_options(cache, of_rows)},
      {"log", family_options(log_cache, of_records)},
      {"positions", family_options(log_cache, of_positions)},
      {"state", family_options(log_cache, of_places)},
  };
  std::unique_ptr<Core> core(new Core);
  families.back().options.compaction_filter_factory = filter_of(core->bound_state_);
  core->incoming_ = directory + "/incoming";
  std::filesystem::remove_all(core->incoming_, failed);  // of a process that was ended amid
  std::filesystem::create_directories(core->incoming_, failed);
  if (failed)
    return Error{Code::unavailable, "cannot make " + core->incoming_ + ": " + failed.message()};
  rdb::DB* db = nullptr;
  const rdb::Status status =
      rdb::DB::Open(database_options(), directory, families, &core->families_, &db);
  core->db_.reset(db);
  if (!status.ok()) return fault(status);
  return core;
}

Core::~Core() {
  if (!db_) return;
  for (rdb::ColumnFamilyHandle* family : families_) db_->DestroyColumnFamilyHandle(family);
  db_->Close();
}

Result<void> Core::resume() {
  if (!failed_.exchange(false)) return {};
  const rdb::Status status = db_->Resume();
  if (status.ok()) return {};
  failed_ = true;
  return fault(status);
}

std::string Core::new_file() { return incoming_ + "/" + std::to_string(files_++) + ".sst"; }

Result<void> Core::take_in(rdb::ColumnFamilyHandle* family, const std::string& file) {
  TRY(resume());
  rdb::IngestExternalFileOptions options;
  options.move_files = true;
  const rdb::Status status = db_->IngestExternalFile(family, {file}, options);
  if (status.ok()) return {};
  failed_ = true;
  return fault(status);
}

Result<void> Core::write(rdb::WriteBatch& batch) {
  TRY(resume());
  const rdb::Status status = db_->Write(rdb::WriteOptions(), &batch);
  if (status.ok()) return {};
  failed_ = true;
  return fault(status);
}

Result<void> Core::sync() {
  const std::uint64_t wanted = db_->GetLatestSequenceNumber();
  const std::lock_guard lock(syncing_);
  if (synced_ >= wanted) return {};
  const std::uint64_t reached = db_->GetLatestSequenceNumber();
  const rdb::Status status = db_->SyncWAL();
  if (!status.ok()) {
    failed_ = true;
    return fault(status);
  }
  synced_ = reached;
  return {};
}

}  // namespace penstock::rocksdb
