// The latest vectors of one feature of one view, kept as new as the online store, and the search
// among them.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <unordered_set>

#include "features/codec.h"
#include "features/nearest/graph.h"
#include "ports/kv.h"

namespace penstock::features {

// What all indexes may hold together.
class VectorMemory {
 public:
  explicit VectorMemory(std::size_t limit) : limit_(limit) {}
  // Whether `now` bytes may stand where `before` did.
  bool resize(std::size_t before, std::size_t now);
  std::size_t limit() const { return limit_; }

 private:
  const std::size_t limit_;
  std::atomic<std::size_t> used_ = 0;
};

// The keys of rows that were written since an index read them. Writers add, the index takes.
class ChangedRows {
 public:
  void add(const std::string& key);
  struct Taken {
    std::vector<std::string> keys;
    bool lost = false;  // too many to remember: read everything anew
  };
  Taken take();
  bool any() const { return any_.load(std::memory_order_acquire); }

 private:
  std::mutex turn_;
  std::unordered_set<std::string> keys_;
  bool lost_ = false;
  std::atomic<bool> any_ = false;
};

// A shared mutex whose writers do not starve: they wait at the gate through which readers come.
class FairMutex {
 public:
  void lock() {
    const std::lock_guard gate(gate_);
    inner_.lock();
  }
  void unlock() { inner_.unlock(); }
  void lock_shared() {
    const std::lock_guard gate(gate_);
    inner_.lock_shared();
  }
  void unlock_shared() { inner_.unlock_shared(); }

 private:
  std::mutex gate_;
  std::shared_mutex inner_;
};

class VectorIndex {
 public:
  struct Limits {
    std::size_t graph_rows_min = 0;  // below it a look at all rows is as fast
    Micros age_max{0};               // as NearestOptions has it
  };
  VectorIndex(std::shared_ptr<const ViewHandle> view, std::size_t feature, kv::Store& kv,
              VectorMemory& memory, Limits limits);
  ~VectorIndex();

  ChangedRows& changed() { return changed_; }
  const ViewHandle& view() const { return *view_; }

  // resource_exhausted where the vectors do not fit into memory; the index is empty then.
  Result<NearestOutput> ask(const NearestInput& input, Timestamp now);
  // Puts a few rows into the graphs that were asked for, and measures those that are whole. Whether
  // there is more to do.
  bool grow();
  // Gives its memory back; the next question reads the store anew.
  void forget();

 private:
  Result<void> refresh(Timestamp now);
  Result<void> read_all();
  Result<void> read_changed(const std::vector<std::string>& keys);
  Result<void> put(std::string_view key, std::string_view stored);
  Result<void> claim();
  void clear();

  Result<std::vector<float>> vector_of(const NearestInput& input, Timestamp now,
                                       std::optional<Spot>& own) const;
  Result<std::vector<Spot>> exactly(const NearestInput& input, const Target& target) const;
  // Nothing where there is no graph, or too few of what it found count.
  Result<std::optional<std::vector<Spot>>> roughly(const NearestInput& input,
                                                   const Target& target) const;
  Result<std::vector<Spot>> matching(const NearestInput& input,
                                     const std::vector<Candidate>& sorted) const;
  Neighbour neighbour(const Target& target, Spot spot, Timestamp now) const;

  const std::shared_ptr<const ViewHandle> view_;
  const std::size_t feature_;
  kv::Store& kv_;
  VectorMemory& memory_;
  const Limits limits_;
  ChangedRows changed_;

  struct MetricGraph {
    std::atomic<bool> wanted = false;
    bool no_room = false;
    std::unique_ptr<Graph> graph;
    std::size_t until = 0;                 // spots before it are in the graph, dead, or held back
    std::vector<Spot> held;                // to measure with: what is in the graph is found easily
    std::size_t measured = 0;              // how far the graph reached then
    std::atomic<std::int64_t> effort = 0;  // that finds enough; 0: none is known that pays
    void reset();
  };
  bool grow(MetricGraph& one);
  void take(MetricGraph& one);
  bool is_due(const MetricGraph& one) const;
  // How many of the true neighbours of the rows held back the graph finds, which says how hard to
  // look.
  void measure(MetricGraph& one) const;
  std::optional<std::size_t> effort_of(const NearestInput& input) const;
  mutable FairMutex turn_;  // of what follows
  bool read_ = false;
  Timestamp read_at_;
  Vectors vectors_;
  std::array<MetricGraph, 3> graphs_;  // by Metric
  std::size_t claimed_ = 0;
};

}  // namespace penstock::features
