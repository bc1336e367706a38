#include "features/entity_rows.h"

#include <filesystem>
#include <fstream>

#include "base/id.h"

namespace penstock::features {
namespace {

namespace files = std::filesystem;

constexpr std::size_t waiting_max = 100;  // of one project
constexpr std::string_view extensions[] = {".parquet", ".csv"};

Error refuse(Code code, const std::string& field, const std::string& problem) {
  return {code, field + " " + problem, {{field, problem}}};
}

}  // namespace

EntityUploads::EntityUploads(std::string folder, const Clock& clock, std::int64_t bytes_max)
    : folder_(std::move(folder)), clock_(clock), bytes_max_(bytes_max) {
  std::error_code ignored;
  files::remove_all(folder_, ignored);  // of the server before
}

// Those that nobody came back for make room.
Result<void> EntityUploads::make_room(const std::string& folder) {
  std::error_code fault;
  files::create_directories(folder, fault);
  std::size_t waiting = 0;
  const auto old = files::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : files::directory_iterator(folder, fault))
    if (entry.last_write_time(fault) < old)
      files::remove(entry.path(), fault);
    else
      ++waiting;
  if (waiting < waiting_max) return {};
  return Error{Code::resource_exhausted,
               "100 uploads of entity rows wait for their join already; use one, or wait an hour"};
}

Result<RowsUpload> EntityUploads::begin(const Call& call, const NewRows& rows) {
  const std::lock_guard hold(turn_);
  const std::string folder = folder_ + "/" + call.project;
  TRY(make_room(folder));
  RowsUpload out{.upload = new_ulid(clock_.now())};
  std::ofstream file(
      folder + "/" + out.upload + std::string(extensions[static_cast<std::size_t>(rows.format)]),
      std::ios::binary);
  if (!file.flush()) return Error{Code::unavailable, "no file can be made in " + folder};
  return out;
}

Result<std::string> EntityUploads::path_of(const Call& call, const std::string& upload) const {
  std::error_code fault;
  if (is_ulid(upload))
    for (const std::string_view extension : extensions) {
      const std::string path = folder_ + "/" + call.project + "/" + upload + std::string(extension);
      if (files::exists(path, fault)) return path;
    }
  return refuse(Code::not_found, "entity_upload",
                "\"" + upload.substr(0, 100) +
                    "\" is no upload that waits: it was used, or is older than an hour; send the "
                    "rows again");
}

Result<RowsUpload> EntityUploads::append(const Call& call, const std::string& upload,
                                         std::int64_t offset, std::string_view bytes) {
  const std::lock_guard hold(turn_);
  const std::string path = TRY(path_of(call, upload));
  std::error_code fault;
  const auto there = static_cast<std::int64_t>(files::file_size(path, fault));
  if (fault) return Error{Code::unavailable, path + ": " + fault.message()};
  if (offset != there)
    return refuse(Code::failed_precondition, "offset",
                  "is " + std::to_string(offset) + ", and " + std::to_string(there) +
                      " bytes are here: go on from there");
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size > bytes_max_ - there)
    return refuse(Code::resource_exhausted, "entity_upload",
                  "gets larger than the " + std::to_string(bytes_max_) +
                      " bytes that entity rows may have (limits.source_bytes); ask for fewer rows "
                      "at a time");
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file.write(bytes.data(), static_cast<std::streamsize>(size));
  if (!file.flush()) {
    files::resize_file(path, static_cast<std::uintmax_t>(there), fault);
    return Error{Code::resource_exhausted, "there is no room for the entity rows on the server"};
  }
  return RowsUpload{.upload = upload, .bytes = there + size};
}

Result<EntityUploads::Taken> EntityUploads::take(const Call& call, const std::string& upload) {
  const std::lock_guard hold(turn_);
  const std::string path = TRY(path_of(call, upload));
  Taken out{.path = folder_ + "/taken-" + upload,
            .format = path.ends_with(".csv") ? RowsFormat::csv : RowsFormat::parquet};
  std::error_code fault;
  files::rename(path, out.path, fault);
  if (fault) return Error{Code::unavailable, path + ": " + fault.message()};
  return out;
}

}  // namespace penstock::features
