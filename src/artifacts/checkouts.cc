#include "artifacts/checkouts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace penstock::artifacts {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t buffer_size = 1 << 20;

bool has_digest(const std::string& path, const std::string& digest) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  Sha256Stream hash;
  std::string buffer(buffer_size, '\0');
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash.update({buffer.data(), static_cast<std::size_t>(file.gcount())});
  }
  return file.eof() && to_hex(hash.finish()) == digest;
}

// Exactly the files of the manifest, each with its digest.
bool is_whole(const std::string& folder, const Manifest& manifest) {
  std::error_code fault;
  std::size_t files = 0;
  for (fs::recursive_directory_iterator entry(folder, fault), end; !fault && entry != end;
       entry.increment(fault))
    if (!entry->is_directory(fault)) ++files;
  return !fault && files == manifest.parts.size() &&
         std::ranges::all_of(manifest.parts, [&](const Part& part) {
           return has_digest(folder + "/" + part.name, part.digest);
         });
}

std::int64_t size_of(const fs::path& folder) {
  std::error_code fault;
  std::int64_t size = 0;
  for (fs::recursive_directory_iterator entry(folder, fault), end; !fault && entry != end;
       entry.increment(fault))
    if (entry->is_regular_file(fault)) size += static_cast<std::int64_t>(entry->file_size(fault));
  return size;
}

}  // namespace

Checkouts::Checkouts(Files& files, const Clock& clock, CheckoutOptions options)
    : files_(files), clock_(clock), options_(std::move(options)) {
  // What an earlier process fetched is as good as new: each use compares it. Half of one is not.
  std::error_code fault, kept;
  for (fs::directory_iterator entry(options_.folder, fault), end; !fault && entry != end;
       entry.increment(fault)) {
    const std::string name = entry->path().filename();
    if (is_digest(name))
      copies_[name] = {size_of(entry->path()), clock_.now()};
    else
      fs::remove_all(entry->path(), kept);
  }
}

Result<Manifest> Checkouts::manifest(const std::string& digest) {
  return Manifest::read(TRY(files_.get(digest)));
}

Result<std::string> Checkouts::folder(const std::string& digest) {
  const Manifest parts = TRY(manifest(digest));
  const std::lock_guard lock(turn_);
  const std::string to = place(digest);
  if (copies_.contains(digest) && is_whole(to, parts)) {
    copies_[digest].used_at = clock_.now();
    return to;
  }
  std::error_code fault;
  fs::remove_all(to, fault);
  copies_.erase(digest);
  const std::string half = to + ".half";
  fs::remove_all(half, fault);
  const auto size = fetch(parts, half);
  if (size) fs::rename(half, to, fault);
  if (!size || fault) {
    std::error_code kept;
    fs::remove_all(half, kept);
    if (!size) return size.error();
    return Error{Code::unavailable, to + ": " + fault.message()};
  }
  copies_[digest] = {*size, clock_.now()};
  make_room();
  return to;
}

Result<std::int64_t> Checkouts::fetch(const Manifest& parts, const std::string& to) {
  std::int64_t total = 0;
  std::string buffer(buffer_size, '\0');
  for (const Part& part : parts.parts) {
    const fs::path path = to + "/" + part.name;
    std::error_code fault;
    fs::create_directories(path.parent_path(), fault);
    if (fault) return Error{Code::unavailable, path.string() + ": " + fault.message()};
    const auto download = TRY(files_.open(part.digest));
    std::ofstream file(path, std::ios::binary);
    for (std::int64_t left = download->size(); left > 0;) {
      const std::size_t got = TRY(download->read(buffer.data(), buffer.size()));
      file.write(buffer.data(), static_cast<std::streamsize>(got));
      left -= static_cast<std::int64_t>(got);
    }
    file.close();
    if (!file)
      return Error{Code::resource_exhausted,
                   "cannot write " + path.string() + "; make room on that disk"};
    total += download->size();
  }
  return total;
}

// The longest unused go first.
void Checkouts::make_room() {
  std::int64_t total = 0;
  std::vector<std::pair<Timestamp, std::string>> by_use;
  for (const auto& [digest, copy] : copies_) {
    total += copy.size;
    by_use.emplace_back(copy.used_at, digest);
  }
  std::ranges::sort(by_use);
  for (const auto& [used_at, digest] : by_use) {
    if (total <= options_.size_max || used_at > clock_.now() - options_.kept) return;
    total -= copies_[digest].size;
    copies_.erase(digest);
    std::error_code kept;
    fs::remove_all(place(digest), kept);
  }
}

}  // namespace penstock::artifacts
