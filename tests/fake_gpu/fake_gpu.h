/* What tests may ask the fake GPU in their own process (by dlsym: without the fake one there are no such functions). */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif
/* How often something happened since the last fake_gpu_reset(): "kernel", "graph launch", "copy", "pageable copy", "stream synchronize", "event synchronize", "event query",
   "event create", "event record", "stream wait", "malloc", "free", "host alloc", "host free"; "device K" for the first uses of that device by a thread. */
long fake_gpu_count(const char* what);
void fake_gpu_reset(void);
/* From now on every call fails with this code; 0: no longer. */
void fake_gpu_fail(int code);
#ifdef __cplusplus
}
#endif
