/*
 * What a map holds, read and written with as few system calls as the kernel allows: its batch operations (Linux 5.6; not
 * for every type of map), else one entry at a time. Keys and values are packed arrays; what is in them is JavaScript's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libbpf.h"

enum { CURSOR = 512, READ_MAX = 64 << 20 };
enum { KERNEL_ENOTSUPP = 524 }; /* the kernel's own, known to no libc: this type of map has no such operation */

typedef struct {
  int fd;
  size_t key, value; /* bytes of an entry; a value per CPU counts for all of them, each rounded up to 8 */
  uint32_t entries;
} shape;

/* False with an exception pending. */
static bool shape_of(napi_env env, struct bpf_map *map, shape *out) {
  *out = (shape){libbpf.bpf_map__fd(map), libbpf.bpf_map__key_size(map), libbpf.bpf_map__value_size(map),
                 libbpf.bpf_map__max_entries(map)};
  switch (libbpf.bpf_map__type(map)) {
  case BPF_MAP_TYPE_PERCPU_HASH:
  case BPF_MAP_TYPE_LRU_PERCPU_HASH:
  case BPF_MAP_TYPE_PERCPU_ARRAY: {
    int cpus = libbpf.libbpf_num_possible_cpus();
    if (cpus <= 0) {
      throw_errno(env, "libbpf_num_possible_cpus", -cpus);
      return false;
    }
    out->value = (out->value + 7) / 8 * 8 * (size_t)cpus;
    break;
  }
  default:
    break;
  }
  if (out->key == 0 || out->value == 0 || out->entries == 0) {
    throw_type(env, "this type of map has no keys");
    return false;
  }
  return true;
}

/* Whether it is worth a try without the batch operation; what is really wrong shows again there. */
static bool batchless(int error) {
  return error == EINVAL || error == EOPNOTSUPP || error == KERNEL_ENOTSUPP || error == EINTR;
}

/* Each answers 0 or an errno, and the number of entries read. What a busy map has beyond its size is left out. */
static int read_batches(const shape *s, uint8_t *keys, uint8_t *values, uint32_t *count) {
  uint8_t cursor[CURSOR];
  void *from = NULL;
  for (*count = 0; *count < s->entries; from = cursor) {
    uint32_t more = s->entries - *count;
    int error = -libbpf.bpf_map_lookup_batch(s->fd, from, cursor, keys + *count * s->key, values + *count * s->value,
                                             &more, NULL);
    if (error == ENOSPC && *count > 0) return 0; /* the next hash bucket holds more than is left of the size */
    if (error && error != ENOENT) return error;
    KERNEL_WROTE(cursor, sizeof cursor);
    KERNEL_WROTE(keys + *count * s->key, more * s->key);
    KERNEL_WROTE(values + *count * s->value, more * s->value);
    *count += more;
    if (error || more == 0) return 0;
  }
  return 0;
}

static int read_each(const shape *s, uint8_t *keys, uint8_t *values, uint32_t *count) {
  uint8_t cursor[CURSOR];
  void *from = NULL;
  *count = 0;
  /* An entry that is deleted while we stand on it sends us back to the start: hence a bound on the steps. */
  for (uint64_t steps = 0; *count < s->entries && steps < 2 * (uint64_t)s->entries; steps++, from = cursor) {
    uint8_t *key = keys + *count * s->key;
    int error = -libbpf.bpf_map_get_next_key(s->fd, from, key);
    if (error) return error == ENOENT ? 0 : error;
    memcpy(cursor, key, s->key);
    error = -libbpf.bpf_map_lookup_elem(s->fd, key, values + *count * s->value);
    if (error && error != ENOENT) return error;
    if (error) continue;
    KERNEL_WROTE(values + *count * s->value, s->value);
    ++*count;
  }
  return 0;
}

/* read(map): [keys, values]. */
napi_value map_read(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], out, part;
  shape s;
  uint32_t count;
  struct bpf_object *object = object_this(env, info, &argc, argv);
  struct bpf_map *map = object ? map_of(env, object, argv[0]) : NULL;
  if (!map || !shape_of(env, map, &s)) return NULL;
  if (s.key > CURSOR || (s.key + s.value) > READ_MAX / s.entries) return throw_errno(env, "read", E2BIG);
  uint8_t *keys = malloc((s.key + s.value) * s.entries), *values = keys + s.key * s.entries;
  if (!keys) return throw_errno(env, "malloc", ENOMEM);
  int error = read_batches(&s, keys, values, &count);
  if (batchless(error)) error = read_each(&s, keys, values, &count);
  if (error)
    throw_errno(env, "bpf_map_lookup_batch", error);
  else if (napi_create_array_with_length(env, 2, &out) != napi_ok ||
           napi_create_buffer_copy(env, s.key * count, keys, NULL, &part) != napi_ok ||
           napi_set_element(env, out, 0, part) != napi_ok ||
           napi_create_buffer_copy(env, s.value * count, values, NULL, &part) != napi_ok ||
           napi_set_element(env, out, 1, part) != napi_ok)
    error = ENOMEM;
  free(keys);
  return error ? NULL : out;
}

/* update(map, keys, values): as many values as keys. Those before the one that fails are written. */
napi_value map_update(napi_env env, napi_callback_info info) {
  size_t argc = 3, keys_length, values_length;
  napi_value argv[3];
  uint8_t *keys, *values;
  shape s;
  struct bpf_object *object = object_this(env, info, &argc, argv);
  struct bpf_map *map = object ? map_of(env, object, argv[0]) : NULL;
  if (!map || !shape_of(env, map, &s)) return NULL;
  if (argc < 3 || !bytes_of(env, argv[1], &keys, &keys_length) || !bytes_of(env, argv[2], &values, &values_length) ||
      keys_length % s.key || values_length % s.value || keys_length / s.key != values_length / s.value ||
      keys_length / s.key > UINT32_MAX)
    return throw_type(env, "update takes a map's name, its keys, and as many values");
  uint32_t count = (uint32_t)(keys_length / s.key), written = count;
  int error = count ? -libbpf.bpf_map_update_batch(s.fd, keys, values, &written, NULL) : 0;
  if (batchless(error)) {
    error = 0;
    for (uint32_t i = 0; i < count && !error; i++)
      error = -libbpf.bpf_map_update_elem(s.fd, keys + i * s.key, values + i * s.value, BPF_ANY);
  }
  return error ? throw_errno(env, "bpf_map_update_batch", error) : NULL;
}

/* remove(map, keys): how many there were. One at a time, because a batch would stop at the first that is not there. */
napi_value map_remove(napi_env env, napi_callback_info info) {
  size_t argc = 2, length;
  napi_value argv[2], out;
  uint8_t *keys;
  uint32_t removed = 0;
  shape s;
  struct bpf_object *object = object_this(env, info, &argc, argv);
  struct bpf_map *map = object ? map_of(env, object, argv[0]) : NULL;
  if (!map || !shape_of(env, map, &s)) return NULL;
  if (argc < 2 || !bytes_of(env, argv[1], &keys, &length) || length % s.key)
    return throw_type(env, "remove takes a map's name and its keys");
  for (size_t at = 0; at < length; at += s.key) {
    int error = -libbpf.bpf_map_delete_elem(s.fd, keys + at);
    if (!error)
      removed++;
    else if (error != ENOENT)
      return throw_errno(env, "bpf_map_delete_elem", error);
  }
  return napi_create_uint32(env, removed, &out) == napi_ok ? out : NULL;
}
