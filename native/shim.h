/* What the parts of the shim share: errors, arguments, and a descriptor watched on Node's loop. */
#ifndef X0_SHIM_H
#define X0_SHIM_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uv.h"

enum { CALLBACKS = 3 };

/*
 * One open thing: a JavaScript object and, where its descriptor is polled, a libuv handle with the callbacks that its
 * readiness leads to.
 * The object is held alive while it is open, as Node does with its own handles. A watch lives until both
 * the object has been collected and libuv has let go of the handles (`holders`); a part embeds it as its first member.
 */
typedef struct watch {
  napi_env env;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  napi_ref self;
  napi_ref callbacks[CALLBACKS];
  uv_handle_t *poll;
  uv_handle_t *timer; /* of watch_rest(); NULL until there was one */
  int fd;
  unsigned holders;
  bool closed;
  /* Reads what is there; NULL where nothing is polled, as for a BPF link. `error` is the socket's pending error (SO_ERROR), 0 for none. */
  void (*readable)(struct watch *, int error);
  /* Called once while closing, before the descriptor is closed; may be NULL. */
  void (*closing)(struct watch *);
} watch;

/* A JavaScript Error with .code (errno's name), .errno and .syscall; NULL where that fails. */
napi_value make_error(napi_env env, const char *syscall, int error, const char *explanation);
/* Throws a JavaScript Error with .code (errno's name), .errno and .syscall. Always answers NULL. */
napi_value throw_errno(napi_env env, const char *syscall, int error);
/* Throws a TypeError. Always answers NULL. */
napi_value throw_type(napi_env env, const char *message);
const char *errno_name(int error);

/*
 * Reads an object's property into `*out`, which keeps its value (of an array: NULL) where that is undefined. False with an
 * exception pending for anything of another type or range: a slip of the caller's must not open another socket than it wants.
 */
bool option_u32(napi_env env, napi_value object, const char *name, uint32_t *out);
bool option_bool(napi_env env, napi_value object, const char *name, bool *out);
bool option_array(napi_env env, napi_value object, const char *name, napi_value *out);
/* Mandatory: false where it is no function. */
bool option_function(napi_env env, napi_value object, const char *name, napi_value *out);
/* A whole number that fits, nothing rounded or wrapped. */
bool u32_of(napi_env env, napi_value value, uint32_t *out);
/* A string that fits, with its end, and holds no zero before it: C would take less than what was said. */
bool text_of(napi_env env, napi_value value, char *text, size_t size, size_t *length);
bool bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length);

/*
 * Turns `w` (zeroed by calloc, with .readable and .closing set) and the open descriptor `fd` (-1 for none) into a JavaScript object
 * with `methods` beside close, ref and unref. `names` are the callbacks to take out of `options`, each mandatory.
 * Owns `w` and `fd` from the call on: on failure both are released, an exception is pending and NULL comes back.
 */
napi_value watch_open(napi_env env, watch *w, int fd, napi_value options, const char *const names[CALLBACKS],
                      const napi_property_descriptor *methods, size_t method_count);
/* The watch behind `this`, and up to `*argc` arguments. Throws and answers NULL for a foreign or closed object. */
watch *watch_this(napi_env env, napi_callback_info info, void (*readable)(watch *, int), size_t *argc,
                  napi_value *argv);
/* Calls a callback. The caller holds an open handle scope. False when the watch is closed by now. */
bool watch_call(watch *w, int which, size_t argc, const napi_value *argv);
/* The same with one string: an errno's name. */
bool watch_report(watch *w, int which, int error);
void watch_close(watch *w);
/* Is not told of readiness for so long: where what is there cannot be taken now, the loop would never sleep. */
void watch_rest(watch *w, uint64_t ms);

#define METHOD(name, function) {name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL}

napi_value netlink_open(napi_env env, napi_callback_info info);
napi_value packet_open(napi_env env, napi_callback_info info);
napi_value transmitter_open(napi_env env, napi_callback_info info);
napi_value unix_listen(napi_env env, napi_callback_info info);
napi_value unix_owner(napi_env env, napi_callback_info info);
napi_value unix_lives(napi_env env, napi_callback_info info);

#ifdef X0_BPF
napi_value bpf_open(napi_env env, napi_callback_info info);
napi_value bpf_statistics(napi_env env, napi_callback_info info);
/* Loads libbpf once a process. NULL, or the sentence that says why it cannot be used. Any thread. */
const char *libbpf_obstacle(void);
#endif

#endif
