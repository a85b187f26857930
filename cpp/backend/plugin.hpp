// The seam to libhesscore_cuda.so: what its entry point returns, and how it is found and opened.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/plugin_abi.hpp"
#include "hesscore/device.hpp"

namespace hesscore {

inline constexpr const char* kPluginEntry = "hesscore_cuda_plugin";
inline constexpr const char* kPluginFile = "libhesscore_cuda.so";

// `abi` stays first for ever; nothing behind it is read unless it matches. Both functions may
// throw: device_count a DeviceError that says in one sentence why there is no device to use.
struct Plugin {
  std::uint32_t abi;
  int (*device_count)();
  std::unique_ptr<Device> (*make_device)(int index);
};
using PluginEntry = const Plugin* (*)();

// Either a plugin with at least one device and the status "available", or null and the reason.
struct LoadedPlugin {
  const Plugin* plugin = nullptr;
  int devices = 0;
  std::string status;
};

// Opens the first of `candidates` that exists. The library is never closed.
LoadedPlugin load_plugin(const std::vector<std::string>& candidates);

// The plugin of this process, looked for when first called: in HESSCORE_CUDA_PLUGIN alone if that
// is set, else beside libhesscore.so, else in the folder given to set_plugin_path.
const LoadedPlugin& cuda_plugin();

}  // namespace hesscore
