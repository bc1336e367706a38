// What must be known of a call before it goes on, and the body that goes on: the caller's own, byte
// for byte, but for what is spliced in.
#pragma once

#include <vector>

#include "api/openai/json_text.h"
#include "base/result.h"

namespace penstock::api::openai {

// Rerank is what graphs ask of a reranker (as Cohere, Jina and vLLM speak it); it has no path of
// ours.
enum class Task { chat, completions, embeddings, responses, rerank };
// Embeddings and scores are no text: nothing of it is counted as output.
inline bool writes(Task task) { return task != Task::embeddings && task != Task::rerank; }
std::string_view path_of(Task task);  // "/chat/completions": behind an upstream's base path

inline constexpr std::size_t model_max = 300;
inline constexpr std::size_t user_max = 200;  // a longer tag is cut there
inline constexpr std::int64_t choices_max = 128;

// Views are into the body that was read.
struct Asked {
  Task task = Task::chat;
  std::string model;
  std::string user;  // the caller's tag of its own user
  bool stream = false;
  bool usage_wanted = false;                 // in the stream, by the caller itself
  std::int64_t choices = 1;                  // n, for each prompt
  std::optional<std::int64_t> output_bound;  // of one choice, where the caller sets one
  std::int64_t other_bound = 0;  // the same, by a field that only some runtimes read; 0: none
  std::vector<std::string_view> texts;  // literals that the model reads as its input
  // Of `texts`: those of a chat's last message of role user.
  std::size_t question_from = 0, question_end = 0;
  std::int64_t prompt_tokens = 0;      // about
  std::int64_t prompt_tokens_max = 0;  // never more, but for what is no text
  // Images, sound, files, what the upstream keeps of before: tokens are not in the text.
  bool media = false;
  bool token_numbers = false;  // texts came as numbers of tokens, which nobody here can read
  bool sound = false;          // the answer is asked for as sound
  // Where they stand; empty: nowhere. `bound_value` is of the field that output_bound would fill.
  std::string_view object, model_value, stream_options, bound_value, messages;
};

// invalid_argument names the field.
Result<Asked> read_request(Task task, std::string_view body);

// What changes on the way.
struct Change {
  std::string_view model;                                          // what the upstream calls it
  std::optional<std::int64_t> output_bound = {};                   // set where the caller set none
  const std::vector<std::optional<std::string>>* texts = nullptr;  // in the place of Asked::texts
  std::string_view front = {};  // before a chat's messages: objects, each with a comma behind it
};
// A stream is asked for its usage, whether the caller did or not.
std::string changed(std::string_view body, const Asked& asked, const Change& change);

// Replaces stretches of a text; `from` and `size` are of that text, in order, apart.
struct Splice {
  std::size_t from = 0, size = 0;
  std::string text;
};
std::string spliced(std::string_view text, const std::vector<Splice>& splices);

}  // namespace penstock::api::openai
