#include "tracking/lexer.h"

#include <cctype>
#include <string_view>

namespace penstock::tracking {
namespace {

bool is_space(char letter) { return std::isspace(static_cast<unsigned char>(letter)); }
bool is_digit(char letter) { return std::isdigit(static_cast<unsigned char>(letter)); }
bool is_alpha(char letter) { return std::isalpha(static_cast<unsigned char>(letter)); }

bool is_of_word(char letter) {
  return is_alpha(letter) || is_digit(letter) || letter == '_' || letter == '.' || letter == '/' ||
         letter == '-' || letter == ':' || static_cast<unsigned char>(letter) >= 0x80;
}

}  // namespace

std::string lower(std::string text) {
  for (char& letter : text)
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return text;
}

Error unreadable(const std::string& problem) {
  return {Code::invalid_argument, "Invalid filter or order: " + problem};
}

Result<Token> Lexer::next() {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  if (at_ == text_.size()) return Token{};
  const char letter = text_[at_];
  if (letter == '\'') return quoted(Token::Kind::text);
  if (letter == '"' || letter == '`') return word();
  if (is_digit(letter) || letter == '-' || letter == '+' || letter == '.') return number();
  if (is_alpha(letter) || letter == '_') return word();
  for (const std::string_view symbol : {"!=", "<=", ">=", "=", "<", ">", "(", ")", ","})
    if (text_.compare(at_, symbol.size(), symbol) == 0) {
      at_ += symbol.size();
      return Token{Token::Kind::symbol, std::string(symbol)};
    }
  return unreadable("'" + text_.substr(at_, 20) + "' is not expected");
}

// A quote within is written twice or, but in `names`, after a backslash. As in MLflow, both stay
// in the text as they are written.
Result<Token> Lexer::quoted(Token::Kind kind) {
  const char quote = text_[at_];
  for (std::size_t end = at_ + 1; end < text_.size(); ++end) {
    const char after = end + 1 < text_.size() ? text_[end + 1] : '\0';
    if (text_[end] == '\\' && quote != '`' && after == quote) {
      ++end;
    } else if (text_[end] == quote && after == quote) {
      ++end;
    } else if (text_[end] == quote) {
      Token token{kind, text_.substr(at_ + 1, end - at_ - 1), quote};
      at_ = end + 1;
      return token;
    }
  }
  return unreadable("a quote " + std::string(1, quote) + " is not closed");
}

Token Lexer::number() {
  const std::size_t begin = at_++;
  while (at_ < text_.size() && (is_alpha(text_[at_]) || is_digit(text_[at_]) || text_[at_] == '.' ||
                                ((text_[at_] == '-' || text_[at_] == '+') &&
                                 (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E'))))
    ++at_;
  return Token{Token::Kind::number, text_.substr(begin, at_ - begin)};
}

// metrics.`a b`, params."x", tags.mlflow.user, "run name"
Result<Token> Lexer::word() {
  Token token{Token::Kind::word, ""};
  if (text_[at_] == '"' || text_[at_] == '`') token.quote = text_[at_];
  while (at_ < text_.size()) {
    const char letter = text_[at_];
    if (letter == '"' || letter == '`') {
      token.text += TRY(quoted(Token::Kind::word)).text;
    } else if (is_of_word(letter)) {
      token.text += letter;
      ++at_;
    } else {
      break;
    }
  }
  return token;
}

}  // namespace penstock::tracking
