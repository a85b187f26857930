// What one of the fake plugins links and cannot find when it is opened.
extern "C" __attribute__((visibility("default"))) int fake_library() { return 0; }
