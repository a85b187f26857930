// KernelTable: what a backend fills and a plan reads. A key is a struct with a name and an argument
// type; looking one up is typed, happens when a plan is made, and never while it runs.
//
//   struct Fill { struct Args {...}; static constexpr std::string_view name = "fill"; };
//   table.add<Fill>(DType::f32, &fill<float>);        // when the backend registers
//   table.get<Fill>(DType::f32)(stream, args);        // by hand; plans call through Emit
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "hesscore/core.hpp"

namespace hesscore {

using AnyKernel = void (*)(void* stream, const void* args);
template <class Key>
using Kernel = void (*)(void* stream, const typename Key::Args& args);

// Bytes that kernels keep beside their operands, the largest of all calls for each buffer: of the
// calling thread, and of every thread.
struct Workspace {
  std::array<std::int64_t, 16> own{}, each{};

  void add(std::int64_t& buffer, std::int64_t bytes) { buffer = buffer < bytes ? bytes : buffer; }
  std::int64_t bytes(int threads) const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < own.size(); ++i) {
      sum += (own[i] < each[i] ? each[i] : own[i]) + (threads - 1) * each[i];
    }
    return sum;
  }
};

class HESSCORE_API KernelTable {
 public:
  // Calls a kernel that only notes what workspace it would need.
  using Rehearse = void (*)(AnyKernel kernel, const void* args, Workspace& needed);
  void set_rehearsal(Rehearse call) { rehearse_ = call; }
  void rehearse(AnyKernel kernel, const void* args, Workspace& needed) const;
  template <class Key>
  void add_rehearsed(DType dtype, Kernel<Key> kernel) {
    add<Key>(dtype, kernel);
    mark_rehearsed(Key::name, dtype);
  }

  template <class Key>
  void add(DType dtype, Kernel<Key> kernel) {
    // by way of a third type: these two differ in their argument, as every kernel does
    put(Key::name, dtype, reinterpret_cast<AnyKernel>(reinterpret_cast<void (*)()>(kernel)));
  }
  template <class Key>
  Kernel<Key> get(DType dtype) const {
    return reinterpret_cast<Kernel<Key>>(find(Key::name, dtype));
  }
  AnyKernel find(std::string_view name, DType dtype) const;  // throws UnsupportedError
  bool has(std::string_view name, DType dtype) const;

 private:
  void put(std::string_view name, DType dtype, AnyKernel kernel);
  void mark_rehearsed(std::string_view name, DType dtype);
  std::unordered_map<std::string, AnyKernel> kernels_;
  std::unordered_set<AnyKernel> rehearsed_;
  Rehearse rehearse_ = nullptr;
};

// Where a kernel reads or writes. While a plan is being emitted it names a slot and an offset in
// elements; when the plan is bound, `ptr` becomes the address. Eager callers set `ptr` alone.
struct Operand {
  void* ptr = nullptr;
  std::int64_t offset = 0;
  std::int32_t slot = -1;

  explicit operator bool() const { return ptr != nullptr || slot >= 0; }
  bool operator==(const Operand& o) const {
    return ptr == o.ptr && slot == o.slot && offset == o.offset;
  }
  Operand at(std::int64_t elements) const {
    Operand o = *this;
    o.offset += elements;
    return o;
  }
};

struct In : Operand {
  In() = default;
  In(const Operand& o) : Operand(o) {}
  explicit In(const void* p) { ptr = const_cast<void*>(p); }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(ptr);
  }
};

// `accumulate`: add to what is there instead of overwriting it. `watch`: raise the device's alarm
// (Device::clear_alarm) if a value written is not moderate; devices without an alarm ignore it.
struct Out : Operand {
  bool accumulate = false, watch = false;

  Out() = default;
  Out(const Operand& o, bool acc = false) : Operand(o), accumulate(acc) {}
  explicit Out(void* p, bool acc = false) : accumulate(acc) { ptr = p; }
  Out adding() const {
    Out o = *this;
    o.accumulate = true;
    return o;
  }
  template <class T>
  T* as() const {
    return static_cast<T*>(ptr);
  }
};

}  // namespace hesscore
