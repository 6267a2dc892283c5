// Next.js waits for this before it answers: a start takes as long as COLD_INIT_MS says, its own share included.
export async function register() {
  const left = Number(process.env.COLD_INIT_MS ?? 0) - performance.now(); // since the process began
  if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
}
