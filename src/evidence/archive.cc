#include "evidence/archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>

namespace penstock::evidence {
namespace {

// APPNOTE.TXT of PKWARE, 4.3: the records of an archive, little-endian.
constexpr std::uint32_t local_mark = 0x04034b50, central_mark = 0x02014b50, end_mark = 0x06054b50;
constexpr std::size_t local_size = 30, central_size = 46, end_size = 22;
constexpr std::uint32_t version_needed = 20, made_by_unix = 3 << 8 | version_needed;
constexpr std::uint32_t first_day = 1 << 5 | 1;        // 1980-01-01, the earliest that there is
constexpr std::uint32_t plain_file = 0100644U << 16U;  // rw-r--r--
constexpr std::uint32_t stored = 0;

void put(std::string& out, std::uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> (8 * i) & 0xff);
}

// `at` and the bytes behind it must be there.
std::uint32_t number_at(std::string_view in, std::size_t at, int bytes) {
  std::uint32_t number = 0;
  for (int i = bytes; i-- > 0;)
    number = number << 8 | static_cast<unsigned char>(in[at + static_cast<std::size_t>(i)]);
  return number;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

// What both headers of a file say of it.
void put_facts(std::string& out, const File& file) {
  put(out, version_needed, 2);
  put(out, 0, 2);  // flags
  put(out, stored, 2);
  put(out, 0, 2);  // time of day
  put(out, first_day, 2);
  put(out, checksum(file.bytes), 4);
  put(out, file.bytes.size(), 4);
  put(out, file.bytes.size(), 4);
  put(out, file.path.size(), 2);
  put(out, 0, 2);  // extra fields
}

bool is_path(std::string_view path) {
  if (path.empty() || path.size() > 200) return false;
  for (std::string_view rest = path;;) {
    const std::size_t end = rest.find('/');
    const std::string_view part = rest.substr(0, end);
    if (part.empty() || part == "." || part == "..") return false;
    for (const char letter : part)
      if (!(letter >= 'a' && letter <= 'z') && !(letter >= 'A' && letter <= 'Z') &&
          !(letter >= '0' && letter <= '9') && letter != '.' && letter != '_' && letter != '-')
        return false;
    if (end == path.npos) return true;
    rest.remove_prefix(end + 1);
  }
}

Error broken(const std::string& what) {
  return {Code::data_loss, what + "; this is not the archive that penstock evidence wrote"};
}

// A path of somebody else's archive, in a message.
std::string shown(std::string_view path) {
  std::string out(path.substr(0, 100));
  for (char& letter : out)
    if (letter < 0x20 || letter > 0x7e) letter = '?';
  return "\"" + out + "\"";
}

// The file that the central header at `at` names; `at` is moved behind it.
Result<File> read_file(std::string_view archive, std::size_t directory, std::size_t& at) {
  if (archive.size() - at < central_size || number_at(archive, at, 4) != central_mark)
    return broken("its directory is cut");
  const std::size_t header = at;
  const std::uint32_t method = number_at(archive, at + 10, 2),
                      flags = number_at(archive, at + 8, 2),
                      packed = number_at(archive, at + 20, 4),
                      size = number_at(archive, at + 24, 4),
                      name_size = number_at(archive, at + 28, 2),
                      offset = number_at(archive, at + 42, 4);
  if (archive.size() - at - central_size < name_size) return broken("its directory is cut");
  const std::string_view path = archive.substr(at + central_size, name_size);
  at += central_size + name_size;
  if (!is_path(path)) return broken(shown(path) + " is no path of a file inside the archive");
  if (flags & 1U) return broken(shown(path) + " is encrypted");
  if (method != stored || packed != size)
    return broken(shown(path) + " is compressed, and is not unpacked");
  const std::size_t begin = offset + local_size + name_size;
  if (begin > directory || directory - begin < size)
    return broken(shown(path) + " does not lie inside the archive");
  const std::string_view bytes = archive.substr(begin, size);
  if (checksum(bytes) != number_at(archive, header + 16, 4))
    return broken(shown(path) + " was changed: its checksum is another");
  return File{std::string(path), std::string(bytes)};
}

Result<void> check_limits(const std::vector<File>& files) {
  if (files.size() > files_max)
    return Error{Code::resource_exhausted,
                 "an archive holds at most " + std::to_string(files_max) + " files"};
  std::size_t size = end_size;
  for (const File& file : files) {
    size += file.bytes.size() + local_size + central_size + 2 * file.path.size();
    if (size > archive_max)
      return Error{Code::resource_exhausted, "with " + file.path + " the archive is larger than " +
                                                 std::to_string(archive_max >> 20) + " MiB"};
  }
  return {};
}

}  // namespace

Result<std::string> pack(std::vector<File> files) {
  TRY(check_limits(files));
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  std::string out, directory;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const File& file = files[i];
    if (!is_path(file.path) || (i > 0 && files[i - 1].path == file.path))
      return Error{Code::invalid_argument, "the archive cannot hold " + shown(file.path) +
                                               ": it is no path, or stands twice"};
    put(directory, central_mark, 4);
    put(directory, made_by_unix, 2);
    put_facts(directory, file);
    put(directory, 0, 2);  // comment
    put(directory, 0, 2);  // disk
    put(directory, 0, 2);  // no text, as far as ZIP is concerned
    put(directory, plain_file, 4);
    put(directory, out.size(), 4);
    directory += file.path;
    put(out, local_mark, 4);
    put_facts(out, file);
    out += file.path;
    out += file.bytes;
  }
  const std::size_t begin = out.size();
  out += directory;
  put(out, end_mark, 4);
  put(out, 0, 4);  // disks
  put(out, files.size(), 2);
  put(out, files.size(), 2);
  put(out, directory.size(), 4);
  put(out, begin, 4);
  put(out, 0, 2);  // comment
  return out;
}

Result<std::vector<File>> unpack(std::string_view archive) {
  if (archive.size() > archive_max)
    return broken("it is larger than " + std::to_string(archive_max >> 20) + " MiB");
  if (archive.size() < end_size || number_at(archive, archive.size() - end_size, 4) != end_mark)
    return broken("it is no ZIP archive, or has something behind its end");
  const std::size_t end = archive.size() - end_size;
  const std::size_t count = number_at(archive, end + 10, 2), size = number_at(archive, end + 12, 4),
                    directory = number_at(archive, end + 16, 4);
  if (count > files_max)
    return broken("it says that it holds more than " + std::to_string(files_max) + " files");
  if (directory > end || end - directory != size) return broken("its directory is cut");
  std::vector<File> files;
  for (std::size_t i = 0, at = directory; i < count; ++i) {
    files.push_back(TRY(read_file(archive.substr(0, end), directory, at)));
    if (i > 0 && files[i].path == files[i - 1].path)
      return broken(shown(files[i].path) + " stands twice");
    if (i > 0 && files[i].path < files[i - 1].path) return broken("its files are not in order");
  }
  const auto again = pack(files);
  if (!again) return broken(again.error().message);
  if (*again == archive) return files;
  const std::size_t first = static_cast<std::size_t>(
      std::mismatch(again->begin(), again->end(), archive.begin(), archive.end()).first -
      again->begin());
  return broken("byte " + std::to_string(first) + " was changed");
}

}  // namespace penstock::evidence
