// Handles of what a name means as of now: a list of features, or a schema without its version.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "features/schema.h"

namespace penstock::features {

// Forgets a project's handles when something is applied in it. Safe from several threads.
class OpenHandles {
 public:
  static constexpr std::size_t count_max = 512, name_max = 64 << 10;

  std::shared_ptr<const SchemaHandle> find(const std::string& project, const std::string& name) {
    const std::lock_guard hold(turn_);
    const auto of = projects_.find(project);
    if (of == projects_.end()) return nullptr;
    const auto found = of->second.find(name);
    return found == of->second.end() ? nullptr : found->second;
  }
  // To be asked before what is kept is read.
  std::int64_t forgotten() {
    const std::lock_guard hold(turn_);
    return forgotten_;
  }
  // Kept only where nothing was forgotten since `before`: it may have been read before that.
  void keep(std::int64_t before, const std::string& name,
            std::shared_ptr<const SchemaHandle> handle) {
    if (name.size() > name_max) return;
    const std::lock_guard hold(turn_);
    if (before != forgotten_) return;
    if (count_ >= count_max) {
      projects_.clear();
      count_ = 0;
    }
    count_ += projects_[handle->project].emplace(name, handle).second ? 1 : 0;
  }
  void forget(const std::string& project) {
    const std::lock_guard hold(turn_);
    ++forgotten_;
    const auto of = projects_.find(project);
    if (of == projects_.end()) return;
    count_ -= of->second.size();
    projects_.erase(of);
  }

 private:
  std::mutex turn_;
  std::int64_t forgotten_ = 0;
  std::size_t count_ = 0;
  std::unordered_map<std::string,
                     std::unordered_map<std::string, std::shared_ptr<const SchemaHandle>>>
      projects_;
};

}  // namespace penstock::features
