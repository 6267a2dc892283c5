// Numbers and times for people.

const grouped = new Intl.NumberFormat("en");

export const count = (n) => grouped.format(Math.round(n));

// plural is "1 instance" or "3 instances".
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

export function rate(perSecond) {
  if (perSecond === 0) return "0";
  if (perSecond < 10) return perSecond.toFixed(1);
  return count(perSecond);
}

export function duration(seconds) {
  if (seconds < 0.001) return "0 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

// dollars has as many digits as tell something: $0.000012, $0.42, $1,234.
export function dollars(amount) {
  const sign = amount < 0 ? "−" : "";
  const size = Math.abs(amount);
  if (size === 0) return "$0";
  if (size >= 1000) return `${sign}$${count(size)}`;
  if (size >= 0.1) return `${sign}$${size.toFixed(2)}`;
  const digits = Math.min(8, 1 - Math.floor(Math.log10(size)));
  return `${sign}$${size.toFixed(digits)}`;
}

export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024) return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} TiB`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;

// words makes a word of the API readable: queue_full is "queue full".
export const words = (word) => word.replaceAll("_", " ");

// clock is a time of today, and of another day with the day.
export function clock(date) {
  const time = date.toLocaleTimeString([], { hour12: false });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}
