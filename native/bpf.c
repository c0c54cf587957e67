/*
 * BPF objects: an ELF image is opened and loaded by libbpf, its maps and programs are named, its XDP programs attached.
 *
 * A program hangs on its interface by a BPF link, not by XDP_FLAGS_*: the kernel never lets a link replace another
 * program (EBUSY; EEXIST where one sits in the other mode), refuses others who would replace ours, and lets go of the
 * interface when the descriptor closes, also after kill -9. (Links for XDP: Linux 5.9.)
 */
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

#include "libbpf.h"

enum { IMAGE_MAX = 16 << 20, NAME_SIZE = 128, FRAME_MAX = 3072 };

typedef struct {
  watch watch; /* without a descriptor */
  struct bpf_object *object;
} holder;

static void holder_closing(watch *w) {
  holder *h = (holder *)w;
  libbpf.bpf_object__close(h->object);
  h->object = NULL;
}

struct bpf_object *object_this(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  watch *w = watch_this(env, info, NULL, argc, argv);
  if (w && w->closing != holder_closing) {
    throw_type(env, "called on an object that is no BPF object");
    return NULL;
  }
  return w ? ((holder *)w)->object : NULL;
}

static bool name_of(napi_env env, napi_value value, char name[NAME_SIZE]) {
  size_t length;
  return text_of(env, value, name, NAME_SIZE, &length);
}

struct bpf_map *map_of(napi_env env, struct bpf_object *object, napi_value value) {
  char name[NAME_SIZE];
  struct bpf_map *map = name_of(env, value, name) ? libbpf.bpf_object__find_map_by_name(object, name) : NULL;
  if (!map) throw_errno(env, "map", ENOENT);
  return map;
}

/* attachXdp(program, ifindex, generic): what close() detaches. */
static napi_value attach(napi_env env, napi_callback_info info) {
  static const char *const none[CALLBACKS] = {NULL};
  size_t argc = 3;
  napi_value argv[3];
  char name[NAME_SIZE];
  uint32_t ifindex;
  bool generic;
  struct bpf_object *object = object_this(env, info, &argc, argv);
  if (!object) return NULL;
  if (argc < 3 || !name_of(env, argv[0], name) || !u32_of(env, argv[1], &ifindex) ||
      ifindex == 0 || ifindex > INT32_MAX || napi_get_value_bool(env, argv[2], &generic) != napi_ok)
    return throw_type(env, "attachXdp takes a program's name, an interface index and whether generic");
  struct bpf_program *program = libbpf.bpf_object__find_program_by_name(object, name);
  if (!program) return throw_errno(env, "program", ENOENT);
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
  int fd = libbpf.bpf_link_create(libbpf.bpf_program__fd(program), (int)ifindex, BPF_XDP, &options);
  char device[IF_NAMESIZE];
  if (fd == -EINVAL && !if_indextoname(ifindex, device)) fd = -ENODEV; /* the kernel does not tell the two apart */
  if (fd < 0) return throw_errno(env, "bpf_link_create", -fd);
  watch *w = calloc(1, sizeof *w);
  if (!w) {
    close(fd);
    return throw_errno(env, "calloc", ENOMEM);
  }
  return watch_open(env, w, fd, NULL, none, NULL, 0);
}

/*
 * testRun(program, frame, repeat): [what it answered, nanoseconds a round], by the kernel's test-run facility. Nothing
 * is sent or received; the maps are the real ones. Blocks this thread for as long as it takes.
 */
static napi_value test_run(napi_env env, napi_callback_info info) {
  size_t argc = 3, length;
  napi_value argv[3], out, part;
  char name[NAME_SIZE];
  uint8_t *frame;
  uint32_t repeat;
  struct bpf_object *object = object_this(env, info, &argc, argv);
  if (!object) return NULL;
  if (argc < 3 || !name_of(env, argv[0], name) || !bytes_of(env, argv[1], &frame, &length) || length > FRAME_MAX ||
      !u32_of(env, argv[2], &repeat) || repeat > INT32_MAX)
    return throw_type(env, "testRun takes a program's name, a frame and how often");
  struct bpf_program *program = libbpf.bpf_object__find_program_by_name(object, name);
  if (!program) return throw_errno(env, "program", ENOENT);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (uint32_t)length, .repeat = (int)repeat);
  int error = -libbpf.bpf_prog_test_run_opts(libbpf.bpf_program__fd(program), &options);
  if (error) return throw_errno(env, "bpf_prog_test_run", error);
  if (napi_create_array_with_length(env, 2, &out) != napi_ok ||
      napi_create_uint32(env, options.retval, &part) != napi_ok || napi_set_element(env, out, 0, part) != napi_ok ||
      napi_create_uint32(env, options.duration, &part) != napi_ok || napi_set_element(env, out, 1, part) != napi_ok)
    return NULL;
  return out;
}

/* What every program of the kernel costs is counted until close(). Throws EPERM without CAP_SYS_ADMIN. */
napi_value bpf_statistics(napi_env env, napi_callback_info info) {
  static const char *const none[CALLBACKS] = {NULL};
  (void)info;
  const char *missing = libbpf_obstacle();
  if (missing) {
    napi_throw_error(env, "ENOSYS", missing);
    return NULL;
  }
  int fd = libbpf.bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (fd < 0) return throw_errno(env, "bpf_enable_stats", -fd);
  watch *w = calloc(1, sizeof *w);
  if (!w) {
    close(fd);
    return throw_errno(env, "calloc", ENOMEM);
  }
  return watch_open(env, w, fd, NULL, none, NULL, 0);
}

static bool set_u32(napi_env env, napi_value object, const char *name, uint32_t number) {
  napi_value value;
  return napi_create_uint32(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

static bool set_string(napi_env env, napi_value object, const char *name, const char *text) {
  napi_value value;
  return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

/* Names what the object holds: .maps and .programs of its JavaScript object. */
static bool describe(napi_env env, struct bpf_object *object, napi_value out) {
  napi_value maps, programs, entry;
  uint32_t count = 0;
  if (napi_create_array(env, &maps) != napi_ok || napi_create_array(env, &programs) != napi_ok) return false;
  for (struct bpf_map *m = NULL; (m = libbpf.bpf_object__next_map(object, m));)
    if (napi_create_object(env, &entry) != napi_ok || !set_string(env, entry, "name", libbpf.bpf_map__name(m)) ||
        !set_u32(env, entry, "type", libbpf.bpf_map__type(m)) ||
        !set_u32(env, entry, "keySize", libbpf.bpf_map__key_size(m)) ||
        !set_u32(env, entry, "valueSize", libbpf.bpf_map__value_size(m)) ||
        !set_u32(env, entry, "maxEntries", libbpf.bpf_map__max_entries(m)) ||
        napi_set_element(env, maps, count++, entry) != napi_ok)
      return false;
  count = 0;
  for (struct bpf_program *p = NULL; (p = libbpf.bpf_object__next_program(object, p));)
    if (napi_create_object(env, &entry) != napi_ok || !set_string(env, entry, "name", libbpf.bpf_program__name(p)) ||
        !set_string(env, entry, "section", libbpf.bpf_program__section_name(p)) ||
        !set_u32(env, entry, "type", libbpf.bpf_program__type(p)) ||
        !set_u32(env, entry, "fd", (uint32_t)libbpf.bpf_program__fd(p)) ||
        napi_set_element(env, programs, count++, entry) != napi_ok)
      return false;
  return napi_set_named_property(env, out, "maps", maps) == napi_ok &&
         napi_set_named_property(env, out, "programs", programs) == napi_ok;
}

napi_value bpf_open(napi_env env, napi_callback_info info) {
  static const char *const none[CALLBACKS] = {NULL};
  static const napi_property_descriptor methods[] = {METHOD("attachXdp", attach), METHOD("read", map_read),
                                                     METHOD("update", map_update), METHOD("remove", map_remove),
                                                     METHOD("openRing", ring_open), METHOD("testRun", test_run)};
  size_t argc = 1, length;
  napi_value argv[1];
  uint8_t *image;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < 1 ||
      !bytes_of(env, argv[0], &image, &length) || length == 0 || length > IMAGE_MAX)
    return throw_type(env, "openBpf takes the bytes of an object file, 16 MiB at most");
  const char *missing = libbpf_obstacle();
  if (missing) {
    napi_throw_error(env, "ENOSYS", missing);
    return NULL;
  }
  bpf_log log = {0};
  const char *call = "bpf_object__open_mem";
  int error = 0;
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "x0"); /* else the address of the bytes is its name */
  libbpf_listen(&log);
  struct bpf_object *object = libbpf.bpf_object__open_mem(image, length, &options);
  if (!object) {
    error = errno;
  } else {
    call = "bpf_object__load";
    error = -libbpf.bpf_object__load(object);
  }
  libbpf_listen(NULL);
  if (error) {
    if (object) libbpf.bpf_object__close(object);
    return throw_libbpf(env, call, error, &log);
  }
  free(log.text);
  holder *h = calloc(1, sizeof *h);
  if (!h) {
    libbpf.bpf_object__close(object);
    return throw_errno(env, "calloc", ENOMEM);
  }
  h->object = object;
  h->watch.closing = holder_closing;
  napi_value out = watch_open(env, &h->watch, -1, NULL, none, methods, sizeof methods / sizeof methods[0]);
  if (out && !describe(env, object, out)) {
    watch_close(&h->watch);
    return NULL;
  }
  return out;
}
