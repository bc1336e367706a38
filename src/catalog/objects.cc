#include "catalog/objects.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/digest.h"
#include "base/id.h"

namespace penstock::catalog {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t keys_max = 100'000;  // of every format, below one path
constexpr std::size_t readers_max = 8;     // at once, of one source
constexpr int attempts = 3;
constexpr std::int64_t step = 4 << 20;
// What sampled objects may have together, beyond the first.
constexpr std::size_t sampled_max = 16;
constexpr std::int64_t sampled_bytes_max = 256 << 20;
constexpr Micros recent = std::chrono::minutes(1), fault_kept = std::chrono::seconds(10);
// Times of S3 are whole seconds of another machine's clock: two states of an object may have the
// same one. Only what was read long after it changed is known by its time and size alone.
constexpr Micros settled = std::chrono::minutes(15);
// Views of sessions may still read a copy after its object was replaced.
constexpr Micros replaced_kept = std::chrono::hours(1);
constexpr Micros unused_kept = std::chrono::hours(24);  // copies of a source that nobody asks for

Error at_field(Code code, const std::string& field, const std::string& problem,
               const Source& source) {
  return {code, "source " + source.name + ": " + field + " " + problem, {{field, problem}}};
}

// What the object store said, in terms of the declaration.
Error told(const Source& source, const Error& error) {
  const std::string where = source.path + ": " + error.message;
  switch (error.code) {
    case Code::permission_denied:
      return at_field(Code::failed_precondition, "connection",
                      source.connection.value_or("") + " may not read " + where, source);
    case Code::invalid_argument:
    case Code::failed_precondition:
      return at_field(Code::failed_precondition, "path", where, source);
    case Code::not_found: return at_field(Code::not_found, "path", where, source);
    default: return {error.code, "source " + source.name + ": " + where};
  }
}

// Writers of other systems keep their own files under such names.
bool is_hidden(std::string_view name) {
  for (std::size_t at = 0; at != std::string_view::npos && at < name.size();) {
    if (name[at] == '.' || name[at] == '_') return true;
    at = name.find('/', at);
    if (at != std::string_view::npos) ++at;
  }
  return false;
}

std::string name_below(const ObjectPlace& place, const std::string& key) {
  if (key == place.prefix) return ".";
  return place.prefix.empty() ? key : key.substr(place.prefix.size() + 1);
}

// From the first to the last, as evenly as they come.
std::vector<blob::Entry> sample(const std::vector<blob::Entry>& entries) {
  if (entries.size() <= 1) return entries;
  const std::size_t count = std::min(entries.size(), sampled_max);
  std::vector<blob::Entry> out;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const blob::Entry& entry = entries[i * (entries.size() - 1) / (count - 1)];
    if (!out.empty() && bytes + entry.size > sampled_bytes_max) continue;
    bytes += out.empty() ? 0 : entry.size;
    out.push_back(entry);
  }
  return out;
}

bool all_there(const std::vector<SourceFile>& files) {
  std::error_code fault;
  return std::ranges::all_of(files,
                             [&](const SourceFile& file) { return fs::exists(file.path, fault); });
}

// DuckDB tells compressed files by it.
std::string ending_of(const std::string& key) { return key.ends_with(".gz") ? ".gz" : ""; }

// A copy on its way, removed unless it is kept.
class Copy {
 public:
  explicit Copy(std::string path) : path_(std::move(path)) {}
  Copy(const Copy&) = delete;
  ~Copy() {
    std::error_code ignored;
    if (!kept_) fs::remove(path_, ignored);
  }
  void keep() { kept_ = true; }

  // The digest of what was written: all that the reader gives.
  Result<std::string> write(blob::Reader& reader) {
    std::ofstream out(path_, std::ios::binary);
    Sha256Stream stream;
    const std::int64_t size = reader.size();
    std::string buffer(static_cast<std::size_t>(std::min(step, size + 1)), '\0');
    for (std::int64_t had = 0; had < size;) {
      const std::size_t got = TRY(reader.read(had, buffer.data(), buffer.size()));
      if (got == 0) return Error{Code::not_found, "it is shorter than it was"};
      stream.update({buffer.data(), got});
      had += static_cast<std::int64_t>(got);
      if (!out.write(buffer.data(), static_cast<std::streamsize>(got))) break;
    }
    out.close();
    if (out) return to_hex(stream.finish());
    return Error{Code::resource_exhausted, "cannot write " + path_ + "; is the disk full?"};
  }

 private:
  const std::string path_;
  bool kept_ = false;
};

}  // namespace

bool is_object_path(const std::string& path) { return path.starts_with("s3://"); }

Result<ObjectPlace> object_place(const std::string& path) {
  const auto refuse = [](const std::string& problem) {
    return Error{Code::invalid_argument, "path " + problem, {{"path", problem}}};
  };
  const std::string rest = path.substr(std::min<std::size_t>(path.size(), 5));
  const std::size_t slash = rest.find('/');
  ObjectPlace place{.bucket = rest.substr(0, slash)};
  if (place.bucket.size() < 3 || place.bucket.size() > 63 ||
      place.bucket.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") != std::string::npos)
    return refuse(
        "must name a bucket of 3 to 63 small letters, digits, . and -: s3://BUCKET/PREFIX/");
  place.prefix = slash == std::string::npos ? "" : rest.substr(slash + 1);
  place.may_be_one = !place.prefix.empty() && !place.prefix.ends_with('/');
  if (place.prefix.ends_with('/')) place.prefix.pop_back();
  if (place.prefix.find_first_of("*?[") != std::string::npos)
    return refuse("must be one object or prefix, without *, ? or [");
  if (place.prefix.empty()) return place;
  if (const auto usable = blob::check_path(place.prefix); !usable)
    return refuse("holds a prefix that is not read here: " + usable.error().message);
  return place;
}

bool belongs(const std::string& name, Format format) {
  const auto ends = [&](std::initializer_list<const char*> endings) {
    return std::any_of(endings.begin(), endings.end(),
                       [&](const char* ending) { return name.ends_with(ending); });
  };
  switch (format) {
    case Format::parquet: return ends({".parquet", ".parq"});
    case Format::csv: return ends({".csv", ".csv.gz", ".tsv"});
    case Format::json: return ends({".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz"});
  }
  return false;
}

struct ObjectCopies::Kept {
  std::int64_t size = 0;
  Timestamp modified, read_at;
  std::string state, digest, path;
};

struct ObjectCopies::Place {
  std::string connection, folder;
  ObjectPlace where;
  Timestamp used_at;  // under the lock of all places
  std::mutex turn;    // for all below: one caller lists and copies, the others take what it got
  std::shared_ptr<blob::Objects> bucket;
  std::vector<blob::Entry> entries;
  bool one = false;  // `where` is an object, not a prefix
  std::optional<Timestamp> whole_at;
  std::vector<SourceFile> whole;
  std::map<std::string, Kept> kept;                         // by key
  std::vector<std::pair<std::string, Timestamp>> replaced;  // paths of copies, and since when
  std::mutex sample_turn;  // for what follows, and never held for long
  std::optional<Result<std::vector<SourceFile>>> sample;
  Timestamp sampled_at;
};

std::shared_ptr<ObjectCopies::Place> ObjectCopies::place_of(const Source& source) {
  const auto where = object_place(source.path);
  if (!where) return {};
  const std::string connection = source.connection.value_or("");
  const std::string key =
      connection + '\n' + source.path + '\n' + std::string(name_of(source.format));
  const Timestamp now = clock_.now();
  const std::lock_guard hold(turn_);
  std::erase_if(places_, [&](const auto& one) {
    if (now - one.second->used_at < unused_kept || one.second.use_count() > 1) return false;
    std::error_code ignored;
    fs::remove_all(one.second->folder, ignored);
    return true;
  });
  std::shared_ptr<Place>& place = places_[key];
  if (!place) {
    place = std::make_shared<Place>();
    place->connection = connection;
    place->where = *where;
    place->folder = options_.folder + "/" + sha256_hex(key).substr(0, 24);
  }
  place->used_at = now;
  return place;
}

Result<void> ObjectCopies::list(Place& place, const Source& source) {
  if (!place.bucket) {
    auto bucket = options_.open(place.connection, place.where.bucket);
    if (!bucket) return told(source, bucket.error());
    place.bucket = std::move(bucket).take();
  }
  place.one = false;
  if (place.where.may_be_one) {
    const auto object = place.bucket->open(place.where.prefix);
    place.one = static_cast<bool>(object);
    if (!object && object.error().code != Code::not_found &&
        object.error().code != Code::invalid_argument)
      return told(source, object.error());
    // Its time is not told by its reader, and listing the bucket for it could be long.
    if (object) place.entries = {{place.where.prefix, (*object)->size(), (*object)->modified()}};
  }
  if (!place.one) {
    auto entries = place.bucket->list(place.where.prefix, keys_max);
    if (!entries && entries.error().code == Code::resource_exhausted)
      return at_field(
          Code::resource_exhausted, "path",
          "holds more than " + std::to_string(keys_max) + " objects; name a prefix below it",
          source);
    if (!entries) return told(source, entries.error());
    place.entries = std::move(entries).take();
  }
  return {};
}

// Those of the source's format.
Result<std::vector<blob::Entry>> ObjectCopies::entries(const Place& place,
                                                       const Source& source) const {
  if (place.one) return place.entries;
  std::vector<blob::Entry> out;
  for (const blob::Entry& entry : place.entries)
    if (!is_hidden(name_below(place.where, entry.path)) && belongs(entry.path, source.format))
      out.push_back(entry);
  if (out.size() > files_max)
    return at_field(Code::resource_exhausted, "path",
                    "holds " + std::to_string(out.size()) + " objects, and at most " +
                        std::to_string(files_max) + " are read; name a prefix below it",
                    source);
  if (out.empty())
    return at_field(Code::not_found, "path",
                    source.path + " holds no " + std::string(name_of(source.format)) + " object",
                    source);
  return out;
}

// Nothing where the object is not as it was listed: it was replaced or removed since.
Result<std::optional<ObjectCopies::Kept>> ObjectCopies::fetch(Place& place,
                                                              const blob::Entry& entry) {
  const auto gone = [](const Error& error) { return error.code == Code::not_found; };
  const Timestamp now = clock_.now();
  auto reader = place.bucket->open(entry.path);
  if (!reader && gone(reader.error())) return std::optional<Kept>();
  if (!reader) return reader.error();
  Kept made{.size = (*reader)->size(),
            .modified = entry.modified,
            .read_at = now,
            .state = (*reader)->state()};
  if (made.size != entry.size) return std::optional<Kept>();
  const auto known = place.kept.find(entry.path);
  if (known != place.kept.end() && known->second.state == made.state) {
    made.digest = known->second.digest;
    made.path = known->second.path;
    return std::optional(std::move(made));
  }
  fs::path folder = place.folder;
  if (!place.one) folder /= fs::path(name_below(place.where, entry.path)).parent_path();
  std::error_code fault;
  fs::create_directories(folder, fault);
  made.path = folder / (new_ulid(now) + ending_of(entry.path));
  Copy copy(made.path);
  auto digest = copy.write(**reader);
  if (!digest && digest.error().code == Code::resource_exhausted) return digest.error();
  // Its parts are of one state only if that is still the same.
  const auto after = place.bucket->open(entry.path);
  if (!after && !gone(after.error())) return after.error();
  if (!after || (*after)->state() != made.state) return std::optional<Kept>();
  if (!digest) return digest.error();
  copy.keep();
  made.digest = std::move(digest).take();
  return std::optional(std::move(made));
}

// False: something changed since it was listed.
Result<bool> ObjectCopies::fetch_all(Place& place, const std::vector<blob::Entry>& wanted) {
  std::vector<const blob::Entry*> missing;
  for (const blob::Entry& entry : wanted) {
    const auto known = place.kept.find(entry.path);
    const bool same = known != place.kept.end() && known->second.size == entry.size &&
                      known->second.modified == entry.modified &&
                      known->second.read_at > entry.modified + settled;
    if (!same) missing.push_back(&entry);
  }
  std::vector<std::optional<Result<std::optional<Kept>>>> got(missing.size());
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  const auto read = [&] {
    for (std::size_t at; !failed && (at = next++) < missing.size();) {
      got[at] = fetch(place, *missing[at]);
      if (!*got[at] || !**got[at]) failed = true;
    }
  };
  const std::size_t readers = std::min(readers_max, missing.size());
  if (options_.together && readers > 1)
    options_.together(readers, read);
  else
    read();
  bool whole = true;
  std::optional<Error> error;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (!got[i]) continue;
    if (!*got[i]) {
      error = got[i]->error();
    } else if (!**got[i]) {
      whole = false;
    } else {
      Kept& kept = place.kept[missing[i]->path];
      Kept made = ***got[i];
      if (!kept.path.empty() && kept.path != made.path)
        place.replaced.emplace_back(kept.path, clock_.now());
      kept = std::move(made);
    }
  }
  if (error) return *error;
  return whole;
}

Result<std::vector<SourceFile>> ObjectCopies::copy(Place& place, const Source& source, bool whole) {
  for (int attempt = 0; attempt < attempts; ++attempt) {
    TRY(list(place, source));
    std::vector<blob::Entry> wanted = TRY(entries(place, source));
    std::int64_t bytes = 0;
    for (const blob::Entry& entry : wanted) bytes += entry.size;
    if (bytes > options_.bytes_max)
      return at_field(Code::resource_exhausted, "path",
                      "holds " + std::to_string(bytes) + " bytes, and at most " +
                          std::to_string(options_.bytes_max) +
                          " are copied (limits.source_bytes); name a prefix below it",
                      source);
    if (!whole) wanted = sample(wanted);
    const auto fetched = fetch_all(place, wanted);
    if (!fetched) return told(source, fetched.error());
    if (!*fetched) continue;
    std::vector<SourceFile> files;
    for (const blob::Entry& entry : wanted) {
      const Kept& kept = place.kept.at(entry.path);
      files.push_back(
          {.path = kept.path,
           .name = name_below(place.where, entry.path),
           .size = static_cast<std::uintmax_t>(kept.size),
           .changed = std::chrono::nanoseconds(kept.modified.time_since_epoch()).count(),
           .digest = kept.digest});
    }
    return files;
  }
  return Error{Code::unavailable, "source " + source.name + ": objects of " + source.path +
                                      " are replaced while they are read; ask again"};
}

void ObjectCopies::drop_replaced(Place& place, const std::vector<SourceFile>& files) {
  std::set<std::string> used;
  for (const SourceFile& file : files) used.insert(file.path);
  const Timestamp now = clock_.now();
  std::erase_if(place.kept, [&](const auto& kept) {
    if (used.contains(kept.second.path)) return false;
    place.replaced.emplace_back(kept.second.path, now);
    return true;
  });
  std::erase_if(place.replaced, [&](const auto& one) {
    if (now - one.second < replaced_kept) return false;
    std::error_code ignored;
    fs::remove(one.first, ignored);
    return true;
  });
}

Result<std::vector<SourceFile>> ObjectCopies::all(const Source& source, Micros age_max) {
  const auto place = place_of(source);
  if (!place) return object_place(source.path).error();
  const std::lock_guard hold(place->turn);
  if (place->whole_at && clock_.now() - *place->whole_at <= age_max) {
    if (all_there(place->whole)) return place->whole;
    place->kept.clear();  // somebody removed copies: they are made again
  }
  place->whole_at.reset();
  const Timestamp now = clock_.now();
  place->whole = TRY(copy(*place, source, true));
  place->whole_at = now;
  drop_replaced(*place, place->whole);
  return place->whole;
}

// Whoever holds a transaction asks after prepare(), and must not wait for a long copy.
Result<std::vector<SourceFile>> ObjectCopies::some(const Source& source) {
  const auto place = place_of(source);
  if (!place) return object_place(source.path).error();
  const auto known = [&]() -> std::optional<Result<std::vector<SourceFile>>> {
    const std::lock_guard hold(place->sample_turn);
    const Micros age = clock_.now() - place->sampled_at;
    if (!place->sample || age > (*place->sample ? recent : fault_kept)) return {};
    if (*place->sample && !all_there(**place->sample)) return {};
    return place->sample;
  };
  if (const auto found = known()) return *found;
  const std::lock_guard hold(place->turn);
  if (const auto found = known()) return *found;
  const Timestamp now = clock_.now();
  const bool whole = place->whole_at && now - *place->whole_at <= recent && all_there(place->whole);
  auto got = whole ? Result<std::vector<SourceFile>>(place->whole) : copy(*place, source, false);
  const std::lock_guard keep(place->sample_turn);
  place->sample.emplace(got);
  place->sampled_at = now;
  return got;
}

Result<std::vector<std::string>> ObjectCopies::keys(const Source& source) {
  const auto place = place_of(source);
  if (!place) return object_place(source.path).error();
  const std::lock_guard hold(place->turn);
  TRY(list(*place, source));
  std::vector<std::string> out;
  for (const blob::Entry& entry : place->entries)
    if (place->one || !is_hidden(name_below(place->where, entry.path))) out.push_back(entry.path);
  return out;
}

}  // namespace penstock::catalog
