#include "artifacts/files.h"

#include <algorithm>

#include "base/log.h"

namespace penstock::artifacts {
namespace {

constexpr std::size_t buffer_size = 1 << 20;
constexpr std::size_t known_max = 10'000;
constexpr std::int64_t get_max = 1 << 30;

Call own_call() { return {.actor = "service:artifacts"}; }

// The fault of a store, with the way out.
Error in_words(Error error) {
  if (error.code == Code::resource_exhausted)
    error.message = "there is no room for this file (" + error.message +
                    "); make room where the artifacts are kept, or delete what nobody needs";
  return error;
}

}  // namespace

std::string blob_path(const std::string& digest) {
  return "files/" + digest.substr(0, 2) + "/" + digest;
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<void> Upload::write(std::string_view bytes) {
  size_ += static_cast<std::int64_t>(bytes.size());
  if (size_ > files_.size_max_)
    return Error{Code::resource_exhausted,
                 "the file is larger than " + std::to_string(files_.size_max_) +
                     " bytes; an operator can raise limits.artifact_bytes"};
  hash_.update(bytes);
  if (const auto written = writer_->write(bytes); !written) return in_words(written.error());
  return {};
}

Result<File> Upload::commit() {
  const File file{to_hex(hash_.finish()), size_};
  const auto kept = files_.keep(*writer_, file);
  writer_.reset();
  return kept;
}

Download::Download(Files& files, File file, std::unique_ptr<blob::Reader> reader,
                   std::int64_t offset, std::int64_t size)
    : files_(files),
      file_(std::move(file)),
      reader_(std::move(reader)),
      offset_(offset),
      size_(size),
      is_whole_(offset == 0 && size == file_.size) {}

Result<std::size_t> Download::read(char* to, std::size_t most) {
  const std::size_t wanted =
      std::min(most, static_cast<std::size_t>(std::max<std::int64_t>(size_ - at_, 0)));
  const std::size_t got = TRY(reader_->read(offset_ + at_, to, wanted));
  if (got < wanted) return files_.damaged(file_.digest);
  at_ += static_cast<std::int64_t>(got);
  if (!is_whole_) return got;
  hash_.update({to, got});
  if (at_ == size_ && got > 0 && to_hex(hash_.finish()) != file_.digest)
    return files_.damaged(file_.digest);
  return got;
}

Result<std::unique_ptr<Upload>> Files::upload() {
  auto writer = objects_.create();
  if (!writer) return in_words(writer.error());
  return std::make_unique<Upload>(*this, std::move(writer).take());
}

Result<File> Files::put(std::string_view bytes) {
  const auto upload = TRY(this->upload());
  TRY(upload->write(bytes));
  return upload->commit();
}

// Said before it is stored, so that no collection comes in between; one that came before is seen.
Result<File> Files::put(const Manifest& manifest) {
  const std::string text = manifest.text(), digest = sha256_hex(text);
  TRY(db_.write(own_call(), [&](sql::Tx& tx) -> Result<void> {
    for (const Part& part : manifest.parts) {
      if (TRY(tx.run("SELECT 1 FROM stored_files WHERE digest = $1", {part.digest})).empty())
        return Error{Code::failed_precondition,
                     "file " + part.name + " (" + part.digest +
                         ") is not stored any more; send the files of this artifact again"};
      TRY(
          tx.run("INSERT INTO artifact_parts (artifact, file) VALUES ($1, $2) ON CONFLICT DO "
                 "NOTHING",
                 {digest, part.digest}));
    }
    return {};
  }));
  return put(text);
}

// Where the bytes are stored already, those of the writer are let go.
Result<File> Files::keep(blob::Writer& writer, const File& file) {
  const std::lock_guard lock(turn(file.digest));
  if (!TRY(exists(file.digest)))
    if (const auto kept = writer.commit(blob_path(file.digest)); !kept)
      return in_words(kept.error());
  const Timestamp now = clock_.now();
  TRY(db_.write(own_call(), [&](sql::Tx& tx) {
    return sql::insert(tx, "stored_files", StoredFile{file.digest, file.size, now, now},
                       "ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at");
  }));
  return file;
}

Result<std::unique_ptr<Download>> Files::open(const std::string& digest, std::int64_t offset,
                                              std::int64_t length) {
  if (!is_digest(digest)) return Error{Code::not_found, "\"" + digest + "\" is no digest"};
  auto reader = TRY(objects_.open(blob_path(digest)));
  const std::int64_t size = reader->size();
  const std::int64_t left = size - std::min(offset, size);
  const std::int64_t wanted = length < 0 ? left : std::min(length, left);
  if (offset != 0 || wanted != size) TRY(verify(digest, *reader));
  // No byte, no read that would compare it.
  if (size == 0 && digest != sha256_hex("")) return damaged(digest);
  return std::make_unique<Download>(*this, File{digest, size}, std::move(reader), offset, wanted);
}

Result<std::string> Files::get(const std::string& digest) {
  const auto download = TRY(open(digest));
  if (download->size() > get_max)
    return Error{Code::resource_exhausted, "file " + digest + " has more than 1 GB"};
  std::string bytes(static_cast<std::size_t>(download->size()), '\0');
  TRY(download->read(bytes.data(), bytes.size()));
  return bytes;
}

Result<bool> Files::exists(const std::string& digest) { return objects_.exists(blob_path(digest)); }

Result<std::int64_t> Files::size(const std::string& digest) {
  return TRY(objects_.open(blob_path(digest)))->size();
}

std::optional<std::string> Files::presigned(const std::string& digest,
                                            std::chrono::seconds time) const {
  return objects_.presigned(blob_path(digest), time);
}

Result<void> Files::verify(const std::string& digest, blob::Reader& reader) {
  const std::lock_guard lock(turn(digest));
  {
    const std::lock_guard known(known_turn_);
    const auto found = verified_.find(digest);
    if (found != verified_.end() && found->second == reader.state()) return {};
  }
  Sha256Stream hash;
  std::string buffer(buffer_size, '\0');
  for (std::int64_t at = 0; at < reader.size();) {
    const std::size_t got = TRY(reader.read(at, buffer.data(), buffer.size()));
    if (got == 0) return damaged(digest);
    hash.update({buffer.data(), got});
    at += static_cast<std::int64_t>(got);
  }
  if (to_hex(hash.finish()) != digest) return damaged(digest);
  const std::lock_guard known(known_turn_);
  if (verified_.size() >= known_max) verified_.clear();
  verified_[digest] = reader.state();
  return {};
}

Error Files::damaged(const std::string& digest) {
  log::error("artifact_damaged", {{"digest", digest}});
  {
    const std::lock_guard lock(known_turn_);
    if (damaged_.size() < known_max) damaged_.insert(digest);
  }
  return {Code::data_loss, "the stored bytes are not those that were sent: file " + digest +
                               " is damaged; send it again or restore it from a backup"};
}

std::set<std::string> Files::take_damaged() {
  const std::lock_guard lock(known_turn_);
  return std::exchange(damaged_, {});
}

Result<std::vector<StoredFile>> Files::unused(Timestamp before, const std::string& after,
                                              int limit) {
  return db_.read(own_call(), [&](sql::Tx& tx) {
    return sql::select<StoredFile>(
        tx,
        "SELECT " + columns<StoredFile>() +
            " FROM stored_files WHERE digest > $1 AND used_at < $2 ORDER BY digest LIMIT $3",
        {after, sql::to_sql(before), std::int64_t{limit}});
  });
}

Result<std::optional<std::string>> Files::holder(sql::Tx& tx, const std::string& digest,
                                                 const std::set<std::string>& gone) {
  const auto lists =
      TRY(tx.run("SELECT artifact FROM artifact_parts WHERE file = $1 LIMIT $2",
                 {digest, std::int64_t{1} + static_cast<std::int64_t>(gone.size())}));
  for (const sql::Row& list : lists)
    if (!gone.contains(std::get<std::string>(list.at(0))))
      return std::optional<std::string>("an artifact");
  for (const auto& [name, holds] : holders_)
    if (TRY(holds(tx, digest))) return std::optional<std::string>(name);
  return std::optional<std::string>();
}

Result<bool> Files::remove(const std::string& digest, Timestamp before) {
  const std::lock_guard lock(turn(digest));
  const bool gone = TRY(db_.write(own_call(), [&](sql::Tx& tx) -> Result<bool> {
    if (TRY(holder(tx, digest))) return false;
    if (TRY(tx.run("DELETE FROM stored_files WHERE digest = $1 AND used_at < $2 RETURNING digest",
                   {digest, sql::to_sql(before)}))
            .empty())
      return false;
    TRY(tx.run("DELETE FROM artifact_parts WHERE artifact = $1", {digest}));
    return true;
  }));
  if (gone) TRY(objects_.remove(blob_path(digest)));
  return gone;
}

std::mutex& Files::turn(const std::string& digest) {
  return turns_[std::hash<std::string>()(digest) % turns_.size()];
}

}  // namespace penstock::artifacts
