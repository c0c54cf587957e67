/* Clocks: monotonic nanoseconds, and what the kernel stamped with the wall clock made monotonic. */
#ifndef X0_CLOCK_H
#define X0_CLOCK_H

#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

/*
 * How far the wall clock is ahead of CLOCK_MONOTONIC, ns. Both are slewed alike, so this changes only when somebody sets
 * the wall clock: `now` is the last reading, `before` the last one before it was set, which counts for as long as stamps from
 * then may wait to be read. A stamp fits one of the two.
 */
typedef struct {
  int64_t before, now;
  int64_t set_at; /* when a reading first showed that it had been set, CLOCK_MONOTONIC */
} wall_clock;

int64_t timespec_ns(const struct timespec *t);
int64_t monotonic_ns(void);
/* Reads the distance anew; answers CLOCK_MONOTONIC. Once when what gives stamps is opened, then whenever they are read. */
int64_t wall_read(wall_clock *wall);
/* The monotonic time of a wall-clock stamp taken before `now`, the latest wall_read(). `now` if neither distance fits. */
int64_t wall_to_monotonic(const wall_clock *wall, int64_t stamp, int64_t now);
/* The stamp that came with a message (SO_TIMESTAMPNS, or the software stamp of SO_TIMESTAMPING), wall clock; 0 for none. */
int64_t stamp_of(struct msghdr *header);

#endif
