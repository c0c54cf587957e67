/* Clocks: monotonic nanoseconds, and what the kernel stamped with the wall clock made monotonic. */
#include "clock.h"

#include <string.h>

enum { TRIES = 4, CLOSE_ENOUGH = 1000 };
static const int64_t SET = 10000;         /* readings of a clock that nobody set differ by less, ns */
static const int64_t WAITING = 100000000; /* what waited in a queue is read by then */

int64_t timespec_ns(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

static int64_t read_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return timespec_ns(&now);
}

int64_t monotonic_ns(void) { return read_ns(CLOCK_MONOTONIC); }

int64_t wall_read(wall_clock *wall) {
  int64_t narrowest = INT64_MAX, distance = 0, after = 0;
  /* Whoever is preempted between the readings tries again: their distance is the error. */
  for (int i = 0; i < TRIES && narrowest > CLOSE_ENOUGH; i++) {
    int64_t before = monotonic_ns(), reading = read_ns(CLOCK_REALTIME);
    after = monotonic_ns();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    distance = reading - before - narrowest / 2;
  }
  int64_t moved = distance - wall->now;
  if (wall->now && (moved > SET || moved < -SET)) {
    wall->before = wall->now;
    wall->set_at = after;
  } else if (!wall->now || after - wall->set_at > WAITING) {
    wall->before = distance;
  }
  wall->now = distance;
  return after;
}

int64_t wall_to_monotonic(const wall_clock *wall, int64_t stamp, int64_t now) {
  /*
   * Of the two possible times the later one that has come already. A frame that waited for less than the wall clock was
   * set by is never given a wrong time; another errs by no more than the time that it waited.
   */
  int64_t old = stamp - wall->before, new = stamp - wall->now;
  int64_t late = old > new ? old : new, early = old > new ? new : old;
  int64_t best = late <= now ? late : early;
  return best <= now && best > 0 ? best : now;
}

int64_t stamp_of(struct msghdr *header) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
    /* Both carry struct timespec first; SO_TIMESTAMPING's software stamp is the first of three. */
    if (c->cmsg_level != SOL_SOCKET || (c->cmsg_type != SO_TIMESTAMPNS && c->cmsg_type != SO_TIMESTAMPING)) continue;
    struct timespec stamp;
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    return timespec_ns(&stamp);
  }
  return 0;
}
