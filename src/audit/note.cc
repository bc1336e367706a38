#include "audit/note.h"

#include <sodium.h>

#include <charconv>
#include <cstring>
#include <vector>

namespace penstock::audit {
namespace {

constexpr unsigned char ed25519 = 1;
constexpr std::string_view signature_mark = "\xe2\x80\x94 ";  // an em dash, as the format has it
constexpr std::string_view private_mark = "PRIVATE+KEY+";
// Holds spaces, which no name of a key does.
constexpr std::string_view statement_mark = "penstock statement v1";

std::string base64(std::string_view bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the zero
  return text;
}

// Nothing where it is no base64, with its padding and nothing behind it.
std::string from_base64(std::string_view text) {
  std::string bytes(text.size(), '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                        text.size(), nullptr, &size, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size())
    return "";
  bytes.resize(size);
  // libsodium takes some bytes beyond ASCII for letters; what is signed has one form.
  return base64(bytes) == text ? bytes : "";
}

template <class Bytes>
std::string_view view_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string big_endian(std::uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
  return bytes;
}

std::string hex(std::uint32_t number) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", number);
  return text;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 200 && name.find_first_of("+ \n\t\r") == name.npos;
}

// NAME+HASH+BASE64 of 0x01 and 32 bytes; the hash is for the caller to compare.
struct Parts {
  std::string name, hash, bytes;
};
Result<Parts> parts_of(std::string_view text) {
  const Error fault{Code::invalid_argument,
                    "this is no key; it must be as penstock audit key prints it: NAME+HASH+BASE64",
                    {{"key", "must be NAME+HASH+BASE64 of an Ed25519 key"}}};
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t first = text.find('+'), second = text.find('+', first + 1);
  if (first == text.npos || second == text.npos) return fault;
  Parts parts{std::string(text.substr(0, first)),
              std::string(text.substr(first + 1, second - first - 1)),
              from_base64(text.substr(second + 1))};
  if (!is_name(parts.name) || parts.bytes.size() != 33 || parts.bytes[0] != ed25519) return fault;
  parts.bytes.erase(0, 1);
  return parts;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool signature_holds(std::string_view line, std::string_view text, const PublicKey& key) {
  const std::string head = std::string(signature_mark) + key.name + " ";
  if (!line.starts_with(head)) return false;
  const std::string bytes = from_base64(line.substr(head.size()));
  if (bytes.size() != 4 + crypto_sign_BYTES || !bytes.starts_with(big_endian(key.hash())))
    return false;
  return crypto_sign_verify_detached(reinterpret_cast<const unsigned char*>(bytes.data()) + 4,
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size(), key.key.data()) == 0;
}

}  // namespace

std::uint32_t PublicKey::hash() const {
  const Sha256 digest =
      sha256(name + "\n" + static_cast<char>(ed25519) + std::string(view_of(key)));
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i) out = out << 8 | digest[static_cast<std::size_t>(i)];
  return out;
}

std::string PublicKey::text() const {
  return name + "+" + hex(hash()) + "+" +
         base64(static_cast<char>(ed25519) + std::string(view_of(key)));
}

Result<PublicKey> PublicKey::parse(std::string_view text) {
  if (text.starts_with(private_mark))
    return Error{Code::invalid_argument,
                 "this is a private key; give the public one, and keep this from others",
                 {{"key", "must be a public key"}}};
  const Parts parts = TRY(parts_of(text));
  PublicKey out{.name = parts.name};
  std::memcpy(out.key.data(), parts.bytes.data(), out.key.size());
  if (hex(out.hash()) == parts.hash) return out;
  return Error{Code::invalid_argument,
               "the key was changed: its hash is another",
               {{"key", "must have the hash " + hex(out.hash())}}};
}

SigningKey SigningKey::generate(const std::string& prefix) {
  constexpr std::string_view letters = "abcdefghijkmnpqrstuvwxyz23456789";
  SigningKey out;
  out.public_.name = prefix + "/";
  for (int i = 0; i < 8; ++i) out.public_.name += letters[randombytes_uniform(letters.size())];
  randombytes_buf(out.seed_.data(), out.seed_.size());
  unsigned char secret[crypto_sign_SECRETKEYBYTES];
  crypto_sign_seed_keypair(out.public_.key.data(), secret, out.seed_.data());
  sodium_memzero(secret, sizeof secret);
  return out;
}

Result<SigningKey> SigningKey::parse(std::string_view text) {
  const Error fault{Code::invalid_argument,
                    "the audit log's signing key cannot be read; it must be one line "
                    "PRIVATE+KEY+NAME+HASH+BASE64"};
  if (!text.starts_with(private_mark)) return fault;
  const auto parts = parts_of(text.substr(private_mark.size()));
  if (!parts) return fault;
  SigningKey out;
  out.public_.name = parts->name;
  std::memcpy(out.seed_.data(), parts->bytes.data(), out.seed_.size());
  unsigned char secret[crypto_sign_SECRETKEYBYTES];
  crypto_sign_seed_keypair(out.public_.key.data(), secret, out.seed_.data());
  sodium_memzero(secret, sizeof secret);
  if (hex(out.public_.hash()) != parts->hash) return fault;
  return out;
}

std::string SigningKey::secret_text() const {
  return std::string(private_mark) + public_.name + "+" + hex(public_.hash()) + "+" +
         base64(static_cast<char>(ed25519) + std::string(view_of(seed_)));
}

std::string SigningKey::sign(const std::string& text) const {
  unsigned char secret[crypto_sign_SECRETKEYBYTES], public_key[crypto_sign_PUBLICKEYBYTES];
  crypto_sign_seed_keypair(public_key, secret, seed_.data());
  std::array<unsigned char, crypto_sign_BYTES> signature{};
  crypto_sign_detached(signature.data(), nullptr,
                       reinterpret_cast<const unsigned char*>(text.data()), text.size(), secret);
  sodium_memzero(secret, sizeof secret);
  return text + "\n" + std::string(signature_mark) + public_.name + " " +
         base64(big_endian(public_.hash()) + std::string(view_of(signature))) + "\n";
}

std::string checkpoint_text(const Head& head) {
  return head.origin + "\n" + std::to_string(head.size) + "\n" + base64(view_of(head.root)) + "\n";
}

Result<Head> open_checkpoint(std::string_view note, const PublicKey& key) {
  const Error malformed{Code::invalid_argument,
                        "this is no signed checkpoint",
                        {{"checkpoint", "must be a signed note of origin, size and root"}}};
  if (note.size() > 100'000) return malformed;
  const std::size_t gap = note.rfind("\n\n");
  if (gap == note.npos) return malformed;
  const std::string_view text = note.substr(0, gap + 1);
  const auto lines = lines_of(text);
  if (lines.size() < 3) return malformed;
  Head head{.origin = std::string(lines[0])};
  const auto [end, fault] =
      std::from_chars(lines[1].data(), lines[1].data() + lines[1].size(), head.size);
  const std::string root = from_base64(lines[2]);
  if (fault != std::errc{} || end != lines[1].data() + lines[1].size() || head.size < 0 ||
      std::to_string(head.size) != lines[1] || root.size() != head.root.size())
    return malformed;
  std::memcpy(head.root.data(), root.data(), root.size());
  for (const std::string_view line : lines_of(note.substr(gap + 2)))
    if (signature_holds(line, text, key)) {
      if (head.origin == key.name) return head;
      return Error{Code::failed_precondition, "the checkpoint is of the log " + head.origin +
                                                  ", and the key of the log " + key.name};
    }
  return Error{Code::failed_precondition, "the checkpoint of " + std::to_string(head.size) +
                                              " events is not signed by the key " + key.name + "+" +
                                              hex(key.hash())};
}

std::string statement_text(const Statement& statement) {
  std::string text(statement_mark);
  text.append("\n").append(statement.kind).append("\n").append(statement.subject);
  return text.append("\nsha256:").append(to_hex(statement.digest)).append("\n");
}

Result<Statement> open_statement(std::string_view note, const PublicKey& key) {
  const Error malformed{Code::invalid_argument,
                        "this is no signed statement",
                        {{"statement", "must be a signed note of kind, subject and digest"}}};
  const std::size_t gap = note.rfind("\n\n");
  if (note.size() > 100'000 || gap == note.npos || !note.ends_with('\n')) return malformed;
  const std::string_view text = note.substr(0, gap + 1);
  const auto lines = lines_of(text), signatures = lines_of(note.substr(gap + 2));
  constexpr std::string_view digest_mark = "sha256:";
  if (lines.size() != 4 || lines[0] != statement_mark || !lines[3].starts_with(digest_mark) ||
      signatures.size() != 1)
    return malformed;
  Statement said{.kind = std::string(lines[1]),
                 .subject = std::string(lines[2]),
                 .digest = sha256_from_hex(lines[3].substr(digest_mark.size()))};
  if (statement_text(said) != text) return malformed;
  if (signature_holds(signatures[0], text, key)) return said;
  return Error{Code::failed_precondition, "the " + said.kind + " of " + said.subject +
                                              " is not signed by the key " + key.name + "+" +
                                              hex(key.hash())};
}

}  // namespace penstock::audit
