// Signed checkpoints: the notes of C2SP (signed-note, tlog-checkpoint), which Go's sumdb and every
// witness read as well.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"

namespace penstock::audit {

// "NAME+HASH+BASE64": what anybody needs to check a signature.
struct PublicKey {
  std::string name;  // also the origin of the log that it signs
  std::array<unsigned char, 32> key{};

  std::uint32_t hash() const;  // the first four bytes of SHA-256(name, "\n", 0x01, key)
  std::string text() const;
  // invalid_argument says what is wrong with it.
  static Result<PublicKey> parse(std::string_view text);
};

// "PRIVATE+KEY+NAME+HASH+BASE64" of an Ed25519 seed. Its text must reach no log and no error.
class SigningKey {
 public:
  // A fresh one. The name gets eight random letters, so that two logs never share an origin.
  static SigningKey generate(const std::string& prefix);
  static Result<SigningKey> parse(std::string_view text);
  std::string secret_text() const;
  const PublicKey& public_key() const { return public_; }
  // The note of `text`, which ends in a newline.
  std::string sign(const std::string& text) const;

 private:
  std::array<unsigned char, 32> seed_{};
  PublicKey public_;
};

// What a checkpoint says: the log of this origin had `size` events, and this was their root.
struct Head {
  std::string origin;
  std::int64_t size = 0;
  Sha256 root{};
};
std::string checkpoint_text(const Head& head);
// failed_precondition where no signature of `key` holds, invalid_argument where it is no
// checkpoint.
Result<Head> open_checkpoint(std::string_view note, const PublicKey& key);

// What the key says of a document: that it is of this kind, about this, and has this digest. The
// note's first line is no name of a log, so it never passes for a checkpoint.
struct Statement {
  std::string kind;     // "evidence"
  std::string subject;  // URN
  Sha256 digest{};
};
std::string statement_text(const Statement& statement);
// The errors of open_checkpoint. Stricter than a note must be: one signature and not a byte more,
// so that there is one text of a statement.
Result<Statement> open_statement(std::string_view note, const PublicKey& key);

}  // namespace penstock::audit
