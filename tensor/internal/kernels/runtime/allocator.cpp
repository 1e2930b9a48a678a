// Memory of CPU tensors that is kept when it is freed, on huge pages.
//
// A step of training frees and allocates the same large blocks again and again. glibc would return them to the kernel, or
// keep them on pages of 4 KiB, whose addresses a processor translates slowly: a step that goes through many megabytes then
// takes up to half as long again. Blocks lie in one range of addresses that asks for huge pages.
#include "../torch.h"

#include "runtime.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <malloc.h>
#include <map>
#include <mutex>
#include <set>
#include <sys/mman.h>
#include <unistd.h>

namespace {

constexpr size_t huge_page = 2 << 20, line = 64;
constexpr size_t smallest = 64 << 10; // smaller tensors are glibc's

size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Blocks of a range of addresses: best fit, with neighbours joined when they are free.
class Blocks {
  using Address = uintptr_t;
  std::mutex mutex_;
  Address begin_ = 0, top_ = 0, end_ = 0; // blocks lie from begin_ to top_
  size_t most_kept_, kept_ = 0; // free bytes that may be resident, at most
  std::map<Address, size_t> used_, free_;
  std::set<std::pair<size_t, Address>> by_size_;

  void add_free(Address at, size_t size) {
    free_[at] = size;
    by_size_.insert({size, at});
  }
  void remove_free(Address at, size_t size) {
    free_.erase(at);
    by_size_.erase({size, at});
  }

public:
  // Keeps at most most_kept free bytes.
  Blocks(size_t range, size_t most_kept) : most_kept_(most_kept) {
    void *at = mmap(nullptr, range, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) // a limit on the address space: every block is glibc's
      return;
    madvise(at, range, MADV_HUGEPAGE);
    begin_ = top_ = rounded(reinterpret_cast<Address>(at), huge_page);
    end_ = reinterpret_cast<Address>(at) + range;
  }

  bool has(const void *block) const {
    const Address at = reinterpret_cast<Address>(block);
    return at >= begin_ && at < end_;
  }

  // Null where the range is full.
  void *take(size_t n) {
    const size_t size = rounded(n, line);
    const std::lock_guard<std::mutex> lock(mutex_);
    Address at;
    const auto fit = by_size_.lower_bound({size, 0});
    if (fit != by_size_.end()) {
      const size_t whole = fit->first;
      at = fit->second;
      remove_free(at, whole);
      if (whole > size)
        add_free(at + size, whole - size);
      kept_ -= std::min(kept_, size);
    } else {
      at = top_;
      const auto last = free_.empty() ? free_.end() : std::prev(free_.end());
      const bool grow = last != free_.end() && last->first + last->second == top_;
      if (grow)
        at = last->first;
      if (size > end_ - at)
        return nullptr;
      if (grow) {
        kept_ -= std::min(kept_, last->second);
        remove_free(last->first, last->second);
      }
      top_ = at + size;
    }
    used_[at] = size;
    return reinterpret_cast<void *>(at);
  }

  void give_back(void *block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = used_.find(reinterpret_cast<Address>(block));
    Address at = found->first;
    size_t size = found->second;
    used_.erase(found);
    kept_ += size;
    const auto next = free_.lower_bound(at);
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == at) {
        at = before->first, size += before->second;
        by_size_.erase({before->second, before->first});
        free_.erase(before);
      }
    }
    if (next != free_.end() && at + size == next->first) {
      size += next->second;
      remove_free(next->first, next->second);
    }
    add_free(at, size);
    if (kept_ > most_kept_)
      release();
  }

private:
  // Returns the whole pages of all free blocks to the kernel.
  void release() {
    for (const auto &[at, size] : free_) {
      const Address from = rounded(at, huge_page), to = (at + size) / huge_page * huge_page;
      if (from < to)
        madvise(reinterpret_cast<void *>(from), to - from, MADV_DONTNEED);
    }
    kept_ = 0;
  }
};

// The blocks of this process, which are never destroyed: tensors may be freed at its very end.
Blocks &blocks() {
  static Blocks *const all = [] {
    const size_t memory = size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGESIZE));
    return new Blocks(4 * memory, memory / 4);
  }();
  return *all;
}

void free_block(void *block) {
  if (blocks().has(block))
    blocks().give_back(block);
  else
    c10::free_cpu(block);
}

// The virtual functions of c10::Allocator differ between versions of LibTorch in const, and in whether copy_data is one.
struct Allocator : c10::Allocator {
  static c10::DataPtr make(size_t n) {
    void *block = n < smallest ? nullptr : blocks().take(n);
    if (!block)
      block = c10::alloc_cpu(n);
    return {block, block, &free_block, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DataPtr allocate(size_t n) { return make(n); }
  c10::DataPtr allocate(size_t n) const { return make(n); }
  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }
  void copy_data(void *to, const void *from, size_t n) const { memcpy(to, from, n); }
};

} // namespace

void eg_keep_memory(void) {
  // For what is not a tensor's: the scratch memory of libraries.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  static Allocator *const allocator = new Allocator;
  c10::SetCPUAllocator(allocator);
}
