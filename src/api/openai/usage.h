// What a runtime says it read and wrote, and what is counted here where it does not.
#pragma once

#include <optional>

#include "api/openai/json_text.h"
#include "api/openai/request.h"
#include "ports/http.h"

namespace penstock::api::openai {

// As OpenAI counts: prompt with what came from a cache, output with what was only thought.
struct Usage {
  std::optional<std::int64_t> prompt, cached, cache_write, output, reasoning;
};
// Of a `usage` object: OpenAI's chat, completions, embeddings and responses, vLLM's, and what
// proxies of others make of theirs. Nothing where it has no whole numbers of 0 and more, or its
// parts are more than the whole: that is no usage, whatever it is.
std::optional<Usage> usage_of(std::string_view object);
// Of llama.cpp's `timings`.
std::optional<Usage> timings_usage(std::string_view object);

// The members of an answer, or of a piece of one, that anybody here asks for: read in one pass. Of
// two of one name the last.
struct Parts {
  explicit Parts(std::string_view object);
  std::string_view object, model, usage, timings, choices, data, output, results, error, response,
      type, delta, status;
  bool model_twice = false;
};

// What one call's answer says, gathered from one text or from the pieces of a stream.
class Tally {
 public:
  // Of the output's own text at most so much is kept, and none where nobody needs it.
  void keep_text(std::size_t most) { text_max_ = most; }

  void head(const http::Fields& headers);
  void whole(const Parts& parts, Task task);
  void whole(std::string_view object, Task task) { whole(Parts(object), task); }
  // Whether it has something of the answer in it, so that the caller's wait is over.
  bool piece(const Parts& parts, Task task);
  bool piece(std::string_view object, Task task) { return piece(Parts(object), task); }

  // Believed up to `most` tokens a side; beyond, the count made here stands in.
  struct Count {
    Usage usage;
    bool estimated = false;
    bool disbelieved = false;
  };
  Count count(const Asked& asked, std::int64_t most) const;
  // Whether a stream has certainly more in it than so many tokens, however they may be cut.
  bool passes(std::int64_t bound) const;

  const std::string& finish_reason() const { return finish_reason_; }
  const std::string& text() const { return text_; }
  std::optional<std::int64_t> gpu_micros() const { return gpu_micros_; }
  std::int64_t finished() const { return finished_; }  // choices, as far as they were told

 private:
  void common(const Parts& parts);
  void choice(std::string_view choice, std::string_view holder);
  void output(std::string_view literal);

  std::optional<Usage> usage_, timings_;
  std::optional<std::int64_t> gpu_micros_;
  Letters letters_;
  std::int64_t pieces_ = 0;  // that had text
  std::int64_t finished_ = 0;
  bool wrote_ = false, bad_usage_ = false;
  std::string finish_reason_, text_;
  std::size_t text_max_ = 0;
};

}  // namespace penstock::api::openai
