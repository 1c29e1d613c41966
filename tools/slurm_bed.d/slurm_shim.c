/* Stands in front of one Slurm command, by whose name it is called: writes the call down, spoils
 * it when a fault is ordered, else becomes the real command. Links to it lie in DIR/shim/bin.
 *
 *   DIR/shim/calls    one JSON line for each call: {"time","pid","command","fault","argv"}
 *   DIR/shim/faults   one order on each line; the first that fires for a call, is done:
 *                       COMMAND FAULT [SECONDS] [next N | share P [seed S]]
 *                     (N counts all calls of the command since the orders were given)
 *   DIR/shim/fired    how many calls each order has seen, so that `next` and `seed` hold over calls
 *
 * Faults are listed at `spoil`. A tiny program and not a script: every command pays for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef REAL_DIR
#define REAL_DIR "/usr/bin"
#endif

enum { orders_max = 64, faults_bytes_max = 16384, line_bytes_max = 65536, fresh_max = 20000 };

struct order {
  char command[16];
  char fault[32];
  double seconds;
  long next;    /* -1: no such bound */
  double share; /* 1: each call */
  unsigned long seed;
};

static char home[PATH_MAX];
static char real[PATH_MAX];
static const char* command;
static char** words;

static int is(const char* one, const char* other) { return strcmp(one, other) == 0; }

static void pause_for(double seconds) {
  struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
}

static int open_in_home(const char* name, int flags) {
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/%s", home, name);
  return open(path, flags | O_CLOEXEC, 0666);
}

/* Until the orders are replaced, for so many seconds at the most. */
static void pause_until_told(double seconds, const struct stat* orders) {
  struct stat now;
  for (double rest = seconds; rest > 0; rest -= 0.05) {
    int in = open_in_home("faults", O_RDONLY);
    int told = in < 0 || fstat(in, &now) != 0 || now.st_ino != orders->st_ino ||
               now.st_mtim.tv_sec != orders->st_mtim.tv_sec ||
               now.st_mtim.tv_nsec != orders->st_mtim.tv_nsec;
    if (in >= 0) close(in);
    if (told) return;
    pause_for(0.05);
  }
}

/* --- the record of calls --------------------------------------------------------------------- */

static size_t put_json(char* out, size_t at, const char* text) {
  /* Room for the end of the line is kept: long arguments are cut, the line stays whole. */
  for (; *text && at < line_bytes_max - 64; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') {
      out[at++] = '\\';
      out[at++] = (char)c;
    } else if (c < 0x20) {
      at += (size_t)sprintf(out + at, "\\u%04x", c);
    } else {
      out[at++] = (char)c;
    }
  }
  return at;
}

static void record(const char* fault) {
  static char line[line_bytes_max];
  struct timespec now;
  int out = open_in_home("calls", O_WRONLY | O_APPEND);
  if (out < 0) return;
  clock_gettime(CLOCK_REALTIME, &now);
  size_t at = (size_t)snprintf(line, sizeof line,
                               "{\"time\":%lld.%06ld,\"pid\":%d,\"command\":\"%s\","
                               "\"fault\":\"%s\",\"argv\":[",
                               (long long)now.tv_sec, now.tv_nsec / 1000, (int)getpid(), command,
                               fault);
  for (char** word = words + 1; *word && at < line_bytes_max - 80; word++) {
    if (word != words + 1) line[at++] = ',';
    line[at++] = '"';
    at = put_json(line, at, *word);
    line[at++] = '"';
  }
  memcpy(line + at, "]}\n", 3);
  /* One write with O_APPEND: lines of calls at the same time do not mix. */
  if (write(out, line, at + 3) < 0) perror("slurm shim: calls");
  close(out);
}

/* --- orders ---------------------------------------------------------------------------------- */

static int read_orders(struct order* orders, struct stat* file) {
  static char text[faults_bytes_max];
  int in = open_in_home("faults", O_RDONLY), count = 0;
  if (in < 0) return 0;
  ssize_t size = fstat(in, file) == 0 ? read(in, text, sizeof text - 1) : 0;
  close(in);
  if (size <= 0) return 0;
  text[size] = 0;
  char *line_at, *word_at, *line = strtok_r(text, "\n", &line_at);
  for (; line && count < orders_max; line = strtok_r(NULL, "\n", &line_at)) {
    struct order* one = &orders[count];
    memset(one, 0, sizeof *one);
    one->next = -1;
    one->share = 1;
    char* word = strtok_r(line, " ", &word_at);
    char* fault = strtok_r(NULL, " ", &word_at);
    if (!word || !fault || *word == '#') continue;
    snprintf(one->command, sizeof one->command, "%s", word);
    snprintf(one->fault, sizeof one->fault, "%s", fault);
    while ((word = strtok_r(NULL, " ", &word_at))) {
      char* value = strchr("0123456789.", *word) ? word : strtok_r(NULL, " ", &word_at);
      if (!value) break;
      if (value == word) one->seconds = atof(value);
      if (strcmp(word, "next") == 0) one->next = atol(value);
      if (strcmp(word, "share") == 0) one->share = atof(value);
      if (strcmp(word, "seed") == 0) one->seed = strtoul(value, NULL, 10);
    }
    count++;
  }
  return count;
}

struct fired {
  struct timespec of;
  ino_t inode;
  unsigned long calls[orders_max];
};

/* The how many-th call this is for each order of our command; starts anew with new orders. */
static void count_call(const struct order* orders, int count, const struct stat* of,
                       unsigned long* calls) {
  struct fired kept;
  memset(&kept, 0, sizeof kept);
  int file = open_in_home("fired", O_RDWR);
  if (file < 0) return;
  flock(file, LOCK_EX);
  if (pread(file, &kept, sizeof kept, 0) != (ssize_t)sizeof kept ||
      kept.inode != of->st_ino || kept.of.tv_sec != of->st_mtim.tv_sec ||
      kept.of.tv_nsec != of->st_mtim.tv_nsec) {
    memset(&kept, 0, sizeof kept);
    kept.inode = of->st_ino;
    kept.of = of->st_mtim;
  }
  for (int at = 0; at < count; at++)
    if (strcmp(orders[at].command, command) == 0) calls[at] = ++kept.calls[at];
  if (pwrite(file, &kept, sizeof kept, 0) < 0) perror("slurm shim: fired");
  close(file);
}

/* splitmix64: a number in [0, 1) from seed and call, the same in every run. */
static double draw(unsigned long seed, unsigned long call) {
  uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15u + call * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static struct stat seen; /* the file of the orders that hold for this call */

static const struct order* ordered(void) {
  static struct order orders[orders_max];
  static unsigned long calls[orders_max];
  int count = read_orders(orders, &seen), ours = 0;
  /* Answered by sacct alone, whatever becomes of the database. */
  if (strcmp(command, "sacct") == 0 && words[1] && strcmp(words[1], "--helpformat") == 0)
    return NULL;
  for (int at = 0; at < count; at++) ours |= strcmp(orders[at].command, command) == 0;
  if (!ours) return NULL;
  count_call(orders, count, &seen, calls);
  for (int at = 0; at < count; at++) {
    const struct order* one = &orders[at];
    if (strcmp(one->command, command) != 0) continue;
    if (one->next >= 0 && calls[at] > (unsigned long)one->next) continue;
    if (one->share >= 1 || draw(one->seed, calls[at]) < one->share) return one;
  }
  return NULL;
}

/* --- faults ---------------------------------------------------------------------------------- */

struct output {
  char* text;
  size_t size;
  int code;
};

/* Runs `argv` to its end with the given standard input (-1: ours). */
static struct output run(char* const* argv, int in, int quiet) {
  struct output got = {NULL, 0, 1};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return got;
  pid_t child = fork();
  if (child == 0) {
    if (in >= 0) dup2(in, 0);
    dup2(ends[1], 1);
    if (quiet) {
      int nowhere = open("/dev/null", O_WRONLY);
      dup2(nowhere, 2);
    }
    execv(real, argv);
    _exit(127);
  }
  close(ends[1]);
  size_t room = 0;
  for (;;) {
    if (room - got.size < 65536) {
      room = room ? room * 2 : 131072;
      got.text = realloc(got.text, room);
      if (!got.text) abort();
    }
    ssize_t some = read(ends[0], got.text + got.size, room - got.size - 1);
    if (some < 0 && errno == EINTR) continue;
    if (some <= 0) break;
    got.size += (size_t)some;
  }
  got.text[got.size] = 0;
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  got.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return got;
}

static void say(const char* text, size_t size) {
  while (size > 0) {
    ssize_t some = write(1, text, size);
    if (some <= 0) return;
    text += some;
    size -= (size_t)some;
  }
}

static int fail(const char* text) {
  fprintf(stderr, "%s\n", text);
  return 1;
}

static int become_real(void) {
  execv(real, words);
  fprintf(stderr, "slurm shim: cannot run %s: %s\n", real, strerror(errno));
  return 127;
}

/* sbatch reads its script from standard input unless it is given one; a second run needs it. */
static int keep_input(void) {
  for (char** word = words + 1; *word; word++)
    if (strncmp(*word, "--wrap", 6) == 0 || (**word != '-' && access(*word, R_OK) == 0)) return -1;
  int kept = memfd_create("script", MFD_CLOEXEC);
  char some[65536];
  ssize_t size;
  while ((size = read(0, some, sizeof some)) > 0)
    if (write(kept, some, (size_t)size) != size) break;
  lseek(kept, 0, SEEK_SET);
  return kept;
}

static int twice(void) {
  int in = keep_input();
  struct output first = run(words, in, 0);
  if (in >= 0) lseek(in, 0, SEEK_SET);
  run(words, in, 1);
  say(first.text, first.size);
  return first.code;
}

/* The real answer, cut in the middle of a line. */
static int half(void) {
  struct output whole = run(words, -1, 0);
  size_t end = whole.size / 2;
  while (end > 1 && (whole.text[end] == '\n' || whole.text[end - 1] == '\n')) end--;
  say(whole.text, end);
  return whole.code;
}

/* Exit 0 and no rows, below the names of the columns if they are wanted. */
static int empty(void) {
  if (is(command, "squeue") || is(command, "sacct")) {
    for (char** word = words + 1; *word; word++)
      if (is(*word, "--noheader") || strncmp(*word, "-h", 2) == 0 || strncmp(*word, "-n", 2) == 0)
        return 0;
    struct output all = run(words, -1, 1);
    char* end = strchr(all.text, '\n');
    if (all.code == 0 && end) say(all.text, (size_t)(end - all.text) + 1);
  }
  return 0;
}

/* Ids of jobs that were submitted less than `seconds` ago. */
static size_t fresh_jobs(double seconds, long* ids) {
  char* argv[] = {"squeue", "-h", "-a", "-r", "-o", "%A|%V", NULL};
  struct output all = run(argv, -1, 1);
  time_t now = time(NULL);
  size_t count = 0;
  char* rest;
  for (char* line = strtok_r(all.text, "\n", &rest); line && count < fresh_max;
       line = strtok_r(NULL, "\n", &rest)) {
    struct tm when;
    memset(&when, 0, sizeof when);
    char* at = strchr(line, '|');
    if (!at || !strptime(at + 1, "%Y-%m-%dT%H:%M:%S", &when)) continue;
    when.tm_isdst = -1;
    if (difftime(now, mktime(&when)) < seconds) ids[count++] = atol(line);
  }
  return count;
}

/* Leaves out the lines that begin with a fresh job's id. */
static int hide_fresh(double seconds) {
  static long ids[fresh_max];
  size_t count = fresh_jobs(seconds, ids);
  struct output all = run(words, -1, 0);
  for (char* line = all.text; *line;) {
    char* end = strchrnul(line, '\n');
    long id = atol(line);
    int hidden = 0;
    for (size_t at = 0; id > 0 && at < count && !hidden; at++) hidden = ids[at] == id;
    size_t size = (size_t)(end - line) + (*end == '\n');
    if (!hidden) say(line, size);
    line += size;
  }
  return all.code;
}

static const char* error_text(void) {
  if (is(command, "sbatch"))
    return "sbatch: error: Batch job submission failed: "
           "Unable to contact slurm controller (connect failure)";
  if (is(command, "sacct"))
    return "sacct: error: Problem talking to the database: Connection refused";
  if (is(command, "scancel"))
    return "scancel: error: Kill job error on job id 0: "
           "Unable to contact slurm controller (connect failure)";
  return "slurm_load_jobs error: Unable to contact slurm controller (connect failure)";
}

static int spoil(const struct order* one) {
  if (is(one->fault, "slow")) { /* late, and then as ever */
    pause_for(one->seconds);
    return become_real();
  }
  if (is(one->fault, "slow_after")) { /* done at once, answered late */
    struct output got = run(words, -1, 0);
    pause_for(one->seconds);
    say(got.text, got.size);
    return got.code;
  }
  if (is(one->fault, "held")) { /* as slow, until the orders are replaced */
    pause_until_told(one->seconds, &seen);
    return become_real();
  }
  if (is(one->fault, "held_after")) { /* as slow_after, until the orders are replaced */
    struct output got = run(words, -1, 0);
    pause_until_told(one->seconds, &seen);
    say(got.text, got.size);
    return got.code;
  }
  if (is(one->fault, "reply_lost") || is(one->fault, "lost")) { /* done, and nobody is told */
    run(words, -1, 1);
    pause_for(one->seconds);
    if (is(command, "sbatch"))
      return fail("sbatch: error: Batch job submission failed: "
                  "Socket timed out on send/recv operation");
    return fail("slurm_load_jobs error: Socket timed out on send/recv operation");
  }
  if (is(one->fault, "error") || is(one->fault, "refuse_temporary")) {
    pause_for(one->seconds);
    return fail(error_text());
  }
  if (is(one->fault, "empty") || is(one->fault, "stale")) return empty();
  if (is(one->fault, "mute")) return 0; /* not asked, nothing printed, and all is well */
  if (is(one->fault, "duplicate")) return twice();
  if (is(one->fault, "half")) return half();
  if (is(one->fault, "hide_fresh")) return hide_fresh(one->seconds);
  fprintf(stderr, "slurm shim: no fault '%s'\n", one->fault);
  return 127;
}

int main(int argc, char** argv) {
  if (argc < 1) return 127;
  const char* slash = strrchr(argv[0], '/');
  command = slash ? slash + 1 : argv[0];
  words = argv;
  ssize_t size = readlink("/proc/self/exe", home, sizeof home - 1);
  char* end = size > 0 ? strrchr(home, '/') : NULL;
  if (!end) return 127;
  *end = 0;
  snprintf(real, sizeof real, REAL_DIR "/%s", command);
  const struct order* one = ordered();
  record(one ? one->fault : "");
  return one ? spoil(one) : become_real();
}
