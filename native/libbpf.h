/*
 * libbpf (API as of 1.1), found with dlopen when the first object is opened: a router without libbpf still has the rest
 * of the shim, an agent that opens no object pays no memory for it, and a build needs its headers only.
 */
#ifndef X0_LIBBPF_H
#define X0_LIBBPF_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "shim.h"

/* memcheck (tools/native.ts) does not know all that bpf(2) writes: what it is told here needs no suppression elsewhere. */
#ifdef X0_MEMCHECK
#include <valgrind/memcheck.h>
#define KERNEL_WROTE(at, length) (void)VALGRIND_MAKE_MEM_DEFINED(at, length)
#else
#define KERNEL_WROTE(at, length) (void)0
#endif

#define LIBBPF(X)                                                                                                      \
  X(bpf_enable_stats) X(bpf_link_create) X(bpf_map__fd) X(bpf_map__key_size) X(bpf_map__max_entries) X(bpf_map__name) X(bpf_map__type)     \
  X(bpf_map__value_size) X(bpf_map_delete_elem) X(bpf_map_get_next_key) X(bpf_map_lookup_batch)                        \
  X(bpf_map_lookup_elem) X(bpf_map_update_batch) X(bpf_map_update_elem) X(bpf_object__close)                           \
  X(bpf_object__find_map_by_name) X(bpf_object__find_program_by_name) X(bpf_object__load) X(bpf_object__next_map)      \
  X(bpf_object__next_program) X(bpf_object__open_mem) X(bpf_prog_test_run_opts) X(bpf_program__fd) X(bpf_program__name)                          \
  X(bpf_program__section_name) X(bpf_program__type) X(libbpf_num_possible_cpus) X(libbpf_set_print) X(libbpf_strerror) \
  X(ring_buffer__consume) X(ring_buffer__free) X(ring_buffer__new)

typedef struct {
#define MEMBER(name) __typeof__(name) *name;
  LIBBPF(MEMBER)
#undef MEMBER
} libbpf_calls;

/* Its functions; valid once libbpf_obstacle() (shim.h) has answered NULL. */
extern libbpf_calls libbpf;

/* What libbpf says on this thread, the verifier's log among it: its last mebibyte. */
typedef struct {
  char *text; /* NULL where nothing was said */
  size_t length;
} bpf_log;

/* Collects into `log`, which is zeroed, until called with NULL. */
void libbpf_listen(bpf_log *log);
/* Throws an Error as throw_errno does, for an errno or libbpf's own numbers, with .log. Frees the log. Answers NULL. */
napi_value throw_libbpf(napi_env env, const char *call, int error, bpf_log *log);

/* Throws ENOENT for a map or program name that the object does not have; `name` is a JavaScript string. */
struct bpf_map *map_of(napi_env env, struct bpf_object *object, napi_value name);

/* The object behind `this`, and up to `*argc` arguments. Throws and answers NULL for anything else. */
struct bpf_object *object_this(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv);

napi_value map_read(napi_env env, napi_callback_info info);
napi_value map_update(napi_env env, napi_callback_info info);
napi_value map_remove(napi_env env, napi_callback_info info);
napi_value ring_open(napi_env env, napi_callback_info info);

#endif
