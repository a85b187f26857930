// Finding, opening and checking the CUDA plugin; every way to fail ends in one readable sentence.
#include "backend/plugin.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>

namespace hesscore {

namespace {

namespace fs = std::filesystem;

std::string given_folder;  // by set_plugin_path

LoadedPlugin absent(std::string reason) { return {nullptr, 0, std::move(reason)}; }

std::string hex(std::uint32_t abi) {
  char text[11];
  std::snprintf(text, sizeof text, "%08x", abi);
  return text;
}

// The folder of the library (or program) that this code was linked into.
std::string own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&own_folder), &info) == 0) return ".";
  return fs::path(info.dli_fname).parent_path().string();
}

std::vector<std::string> candidates() {
  if (const char* file = std::getenv("HESSCORE_CUDA_PLUGIN"); file && *file) return {file};
  std::vector<std::string> files{own_folder() + '/' + kPluginFile};
  if (!given_folder.empty()) files.push_back(given_folder + '/' + kPluginFile);
  return files;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " or ") + name;
  return text;
}

std::string open_failure(const std::string& why) {
  std::string text = "the CUDA plugin could not be loaded: " + why;
  if (why.find("cannot open shared object file") != std::string::npos) {
    text += "; `pip install hesscore[cuda]` brings the CUDA libraries";
  }
  return text;
}

LoadedPlugin open_plugin(const std::string& file) {
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return absent(open_failure(dlerror()));
  const auto entry = reinterpret_cast<PluginEntry>(dlsym(handle, kPluginEntry));
  if (entry == nullptr) {
    return absent("the CUDA plugin " + file + " has no entry point " + kPluginEntry);
  }
  const Plugin* const plugin = entry();
  if (plugin->abi != kPluginAbi) {
    return absent("the CUDA plugin " + file + " belongs to another build of hesscore: its ABI is " +
                  hex(plugin->abi) + ", this library's is " + hex(kPluginAbi));
  }
  const int devices = plugin->device_count();
  if (devices == 0) return absent("the CUDA plugin found no CUDA device");
  return {plugin, devices, "available"};
}

LoadedPlugin find_plugin() {
  const char* const off = std::getenv("HESSCORE_NO_CUDA");
  if (off && *off && std::string_view(off) != "0") {
    return absent("CUDA is switched off by HESSCORE_NO_CUDA");
  }
  return load_plugin(candidates());
}

}  // namespace

LoadedPlugin load_plugin(const std::vector<std::string>& candidates) {
  for (const std::string& file : candidates) {
    std::error_code ignored;
    if (!fs::exists(file, ignored)) continue;
    try {
      return open_plugin(file);
    } catch (const std::exception& error) {
      return absent(error.what());
    }
  }
  return absent("the CUDA plugin is not installed: there is no " + joined(candidates));
}

const LoadedPlugin& cuda_plugin() {
  static const LoadedPlugin loaded = find_plugin();
  return loaded;
}

void set_plugin_path(std::string folder) { given_folder = std::move(folder); }

}  // namespace hesscore
