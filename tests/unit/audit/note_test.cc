// Checkpoints as C2SP writes them down, and as Go's golang.org/x/mod/sumdb/note makes them.
#include "audit/note.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::audit {
namespace {

// The example of Go's package, whole.
constexpr const char* go_private =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
constexpr const char* go_public =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr const char* go_text =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
constexpr const char* go_signature =
    "\n\xe2\x80\x94 PeterNeumann "
    "x08go/ZJkuBS9UG/"
    "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

Head head() { return {"penstock/abc", 1'234, sha256("")}; }

TEST(Note, SignsAsGoDoes) {
  const SigningKey key = test::must(SigningKey::parse(go_private));
  EXPECT_EQ(key.public_key().text(), go_public);
  EXPECT_EQ(key.secret_text(), go_private);
  std::string signed_text = go_text;
  signed_text += go_signature;
  EXPECT_EQ(key.sign(go_text), signed_text);
}

TEST(Note, AKeyHasOneText) {
  const std::string text = SigningKey::generate("penstock").public_key().text();
  for (std::size_t at = 0; at < text.size(); ++at)
    for (int byte = 0; byte < 256; ++byte) {
      std::string other = text;
      other[at] = static_cast<char>(byte);
      if (other == text) continue;
      const auto read = PublicKey::parse(other);
      EXPECT_FALSE(read && read->text() != other) << at << " " << byte;
    }
}

TEST(Note, ACheckpointIsReadBackByItsKeyAlone) {
  const SigningKey key = SigningKey::generate("penstock"), other = SigningKey::generate("penstock");
  Head written = head();
  written.origin = key.public_key().name;
  const std::string note = key.sign(checkpoint_text(written));
  const Head back = test::must(open_checkpoint(note, key.public_key()));
  EXPECT_EQ(back.origin, written.origin);
  EXPECT_EQ(back.size, 1'234);
  EXPECT_EQ(back.root, written.root);
  EXPECT_EQ(open_checkpoint(note, other.public_key()).error().code, Code::failed_precondition);
  PublicKey renamed = key.public_key();
  renamed.name = "somebody";
  EXPECT_FALSE(open_checkpoint(note, renamed));
}

TEST(Note, NoChangedByteIsAccepted) {
  const SigningKey key = SigningKey::generate("penstock");
  Head written = head();
  written.origin = key.public_key().name;
  const std::string note = key.sign(checkpoint_text(written));
  for (std::size_t at = 0; at + 1 < note.size(); ++at)  // the last newline may miss
    for (const int bit : {0, 3, 5}) {
      std::string other = note;
      other[at] = static_cast<char>(other[at] ^ 1 << bit);
      EXPECT_FALSE(open_checkpoint(other, key.public_key())) << at << " " << other;
    }
}

TEST(Note, RefusesWhatIsNoCheckpoint) {
  const SigningKey key = SigningKey::generate("penstock");
  const std::string name = key.public_key().name;
  const std::string root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  for (const std::string& text :
       {std::string(), name + "\n", name + "\n12\n", name + "\n-1\n" + root + "\n",
        name + "\n012\n" + root + "\n", name + "\n12x\n" + root + "\n",
        name + "\n99999999999999999999\n" + root + "\n", name + "\n12\nshort\n",
        "elsewhere\n12\n" + root + "\n"})
    EXPECT_FALSE(open_checkpoint(key.sign(text), key.public_key())) << text;
  EXPECT_FALSE(open_checkpoint("", key.public_key()));
  EXPECT_FALSE(open_checkpoint(std::string(200'000, '\n'), key.public_key()));
  EXPECT_TRUE(open_checkpoint(key.sign(name + "\n12\n" + root + "\nextension\n"), key.public_key()))
      << "the format lets a log add lines";
}

TEST(Note, AStatementIsReadBackByItsKeyAloneAndIsNoCheckpoint) {
  const SigningKey key = SigningKey::generate("penstock"), other = SigningKey::generate("penstock");
  const Statement written{"evidence", "model:late@v1", sha256("document")};
  const std::string note = key.sign(statement_text(written));
  const Statement back = test::must(open_statement(note, key.public_key()));
  EXPECT_EQ(back.kind, "evidence");
  EXPECT_EQ(back.subject, "model:late@v1");
  EXPECT_EQ(back.digest, written.digest);
  EXPECT_EQ(open_statement(note, other.public_key()).error().code, Code::failed_precondition);
  EXPECT_FALSE(open_checkpoint(note, key.public_key()));
  Head log = head();
  log.origin = key.public_key().name;
  EXPECT_FALSE(open_statement(key.sign(checkpoint_text(log)), key.public_key()));
  for (std::size_t at = 0; at < note.size(); ++at)
    for (const int bit : {0, 3, 5}) {
      std::string changed = note;
      changed[at] = static_cast<char>(changed[at] ^ 1 << bit);
      EXPECT_FALSE(open_statement(changed, key.public_key())) << at << " " << changed;
    }
}

TEST(Note, AStatementHasOneForm) {
  const SigningKey key = SigningKey::generate("penstock");
  const std::string text = statement_text({"evidence", "model:late@v1", sha256("document")});
  const std::string note = key.sign(text), line = note.substr(text.size() + 1);
  ASSERT_TRUE(open_statement(note, key.public_key()));
  std::string upper = text;
  upper.back() = ' ';
  for (const std::string& other :
       {note + line, note + "\n", note.substr(0, note.size() - 1), text, std::string(),
        key.sign(text + "more\n"), key.sign(text.substr(text.find('\n') + 1)),
        key.sign(upper + "\n"), key.sign("penstock statement v1\na\nb\nsha256:00\n"),
        std::string(200'000, '\n')})
    EXPECT_FALSE(open_statement(other, key.public_key())) << other.substr(0, 300);
}

TEST(Note, RefusesKeysThatAreNone) {
  std::string broken = go_public;
  broken[20] = broken[20] == 'A' ? 'B' : 'A';
  for (const std::string& text :
       {std::string(), std::string("x"), std::string("a+b"), std::string("a+00000000+AAAA"), broken,
        std::string("a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
        std::string(go_private)})
    EXPECT_EQ(PublicKey::parse(text).error().code, Code::invalid_argument) << text;
  const auto refused = SigningKey::parse("PRIVATE+KEY+x+00000000+AYEKFALVFGyNhPJEMzD1QIDr");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("AYEK"), std::string::npos) << "a secret in an error";
}

}  // namespace
}  // namespace penstock::audit
