/*
 * A BPF ring buffer on Node's loop. The map's own descriptor is watched (a copy, so that the ring outlives its object),
 * and what one wake-up finds goes to JavaScript in one call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libbpf.h"

enum { ON_RECORDS };
enum { PER_WAKE_UP = 256 }; /* so that a flood cannot starve the rest of the loop */

typedef struct {
  watch watch;
  struct ring_buffer *buffer;
  napi_value records; /* those of this wake-up, while it lasts */
  uint32_t count;
} ring;

static int on_record(void *data, void *record, size_t length) {
  ring *r = data;
  napi_value copy;
  if (napi_create_buffer_copy(r->watch.env, length, record, NULL, &copy) == napi_ok &&
      napi_set_element(r->watch.env, r->records, r->count, copy) == napi_ok)
    r->count++;
  return r->count < PER_WAKE_UP ? 0 : -EAGAIN; /* ends the round; this record has been consumed */
}

static void ring_readable(watch *w, int error) {
  (void)error; /* a map has none */
  ring *r = (ring *)w;
  r->count = 0;
  if (napi_create_array(w->env, &r->records) != napi_ok) return;
  libbpf.ring_buffer__consume(r->buffer);
  if (r->count > 0) watch_call(w, ON_RECORDS, 1, &r->records);
}

/* read(): what is there now goes to onRecords before this returns, where somebody cannot wait for the loop. */
static napi_value ring_read(napi_env env, napi_callback_info info) {
  watch *w = watch_this(env, info, ring_readable, NULL, NULL);
  if (w) ring_readable(w, 0);
  return NULL;
}

static void ring_closing(watch *w) {
  ring *r = (ring *)w;
  libbpf.ring_buffer__free(r->buffer);
  r->buffer = NULL;
}

/* openRing(map, { onRecords }) */
napi_value ring_open(napi_env env, napi_callback_info info) {
  static const char *const names[CALLBACKS] = {"onRecords"};
  static const napi_property_descriptor methods[] = {METHOD("read", ring_read)};
  size_t argc = 2;
  napi_value argv[2];
  struct bpf_object *object = object_this(env, info, &argc, argv);
  struct bpf_map *map = object ? map_of(env, object, argv[0]) : NULL;
  if (!map) return NULL;
  ring *r = calloc(1, sizeof *r);
  if (!r) return throw_errno(env, "calloc", ENOMEM);
  r->watch.readable = ring_readable;
  r->watch.closing = ring_closing;
  const char *call = "fcntl";
  int fd = fcntl(libbpf.bpf_map__fd(map), F_DUPFD_CLOEXEC, 3);
  if (fd >= 0) {
    call = "ring_buffer__new";
    r->buffer = libbpf.ring_buffer__new(fd, on_record, r, NULL);
  }
  if (!r->buffer) {
    int error = errno;
    if (fd >= 0) close(fd);
    free(r);
    return throw_errno(env, call, error);
  }
  return watch_open(env, &r->watch, fd, argv[1], names, methods, sizeof methods / sizeof methods[0]);
}
