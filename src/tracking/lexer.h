// The words of MLflow's filters and orders.
#pragma once

#include <string>

#include "base/result.h"

namespace penstock::tracking {

struct Token {
  enum class Kind { word, text, number, symbol, end } kind = Kind::end;
  std::string text;  // a word keeps its quotes' contents and its dots
  char quote = 0;    // that it began with, so it is a name or a text; 0: none
};

std::string lower(std::string text);
// invalid_argument, as every fault of a filter or an order.
Error unreadable(const std::string& problem);

// `text` must outlive it.
class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  // Kind::end when there is no more, and ever after.
  Result<Token> next();

 private:
  Result<Token> quoted(Token::Kind kind);
  Token number();
  Result<Token> word();

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace penstock::tracking
