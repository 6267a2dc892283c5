// The API, with a token where one is asked for. A tab keeps the token until it is closed.

const kept = "lambda-dispatch-token";
const patience = 10_000; // milliseconds

export class Unauthorized extends Error {}

export function keepToken(token) {
  if (token) sessionStorage.setItem(kept, token);
  else sessionStorage.removeItem(kept);
}

export const hasToken = () => sessionStorage.getItem(kept) !== null;

// get returns what the API has at a path, or throws an Error that says why it did not come.
export async function get(path) {
  const token = sessionStorage.getItem(kept);
  let answer;
  try {
    answer = await fetch(`api/v1/${path}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(patience),
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "it does not answer" : "it cannot be reached");
  }
  if (answer.status === 401) throw new Unauthorized("a token is needed");
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail || `it answers with status ${answer.status}`);
  return body;
}
