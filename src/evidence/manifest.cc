#include "evidence/manifest.h"

#include <algorithm>

#include "base/digest.h"

namespace penstock::evidence {
namespace {

const File* find(const std::vector<File>& files, std::string_view path) {
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const File& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

// As deep as what is written is: our own documents.
void write(const json::value& value, const std::string& lead,  // NOLINT(misc-no-recursion)
           std::string& out) {
  const std::string deeper = lead + "  ";
  const char* comma = "\n";
  if (value.is_array() && !value.get_array().empty()) {
    out += "[";
    for (const json::value& item : value.get_array()) {
      out += comma + deeper;
      write(item, deeper, out);
      comma = ",\n";
    }
    out += "\n" + lead + "]";
  } else if (value.is_object() && !value.get_object().empty()) {
    out += "{";
    for (const auto& field : value.get_object()) {
      out += comma + deeper + json::serialize(json::value(field.key())) + ": ";
      write(field.value(), deeper, out);
      comma = ",\n";
    }
    out += "\n" + lead + "}";
  } else {
    out += json::serialize(value);
  }
}

Result<void> compare(const Manifest& manifest, const std::vector<File>& files) {
  for (const Entry& entry : manifest.files) {
    const File* file = find(files, entry.path);
    if (!file) return Error{Code::data_loss, entry.path + " is in the manifest and is missing"};
    if (static_cast<std::int64_t>(file->bytes.size()) != entry.size ||
        sha256_hex(file->bytes) != entry.sha256)
      return Error{Code::data_loss, entry.path + " was changed: its digest is not the manifest's"};
  }
  for (const File& file : files)
    if (file.path != manifest_path && file.path != signature_path &&
        std::none_of(manifest.files.begin(), manifest.files.end(),
                     [&](const Entry& entry) { return entry.path == file.path; }))
      return Error{Code::data_loss, file.path + " is in the bundle and not in the manifest"};
  return {};
}

}  // namespace

std::string pretty(const json::value& value) {
  std::string out;
  write(value, "", out);
  return out + "\n";
}

void seal(Manifest manifest, std::vector<File>& files,
          const std::function<std::string(const audit::Statement&)>& sign) {
  manifest.format = format;
  for (const File& file : files)
    manifest.files.push_back(
        {file.path, sha256_hex(file.bytes), static_cast<std::int64_t>(file.bytes.size())});
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
  std::string text = pretty(encode(manifest));
  std::string note = sign({std::string(statement_kind), manifest.subject, sha256(text)});
  files.push_back({std::string(manifest_path), std::move(text)});
  files.push_back({std::string(signature_path), std::move(note)});
}

Result<Manifest> unseal(const std::vector<File>& files, const audit::PublicKey& key) {
  const File* text = find(files, manifest_path);
  const File* note = find(files, signature_path);
  if (!text || !note)
    return Error{Code::data_loss, std::string(text ? signature_path : manifest_path) +
                                      " is missing: this is no bundle of penstock evidence"};
  const auto said = audit::open_statement(note->bytes, key);
  if (!said) return Error{said.error().code, "manifest.sig: " + said.error().message};
  if (said->kind != statement_kind)
    return Error{Code::failed_precondition, "manifest.sig signs no evidence, but " + said->kind};
  if (said->digest != sha256(text->bytes))
    return Error{Code::data_loss, "manifest.json was changed: its digest is not the signed one"};
  boost::system::error_code fault;
  const json::value value = json::parse(text->bytes, fault);
  if (fault) return Error{Code::data_loss, "manifest.json is no JSON"};
  Manifest manifest = TRY(decode<Manifest>(value));
  if (manifest.format != format)
    return Error{Code::failed_precondition, "the bundle is of the form " + manifest.format +
                                                ", and this program knows " + std::string(format)};
  if (manifest.subject != said->subject)
    return Error{Code::data_loss, "manifest.json is about " + manifest.subject +
                                      ", and its signature about " + said->subject};
  TRY(compare(manifest, files));
  return manifest;
}

}  // namespace penstock::evidence
