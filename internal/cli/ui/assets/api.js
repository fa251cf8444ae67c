// SPDX-License-Identifier: Apache-2.0

// Questions to the local server. All are GETs; it answers no others.

// Refused is an answer that is an error, in the server's words.
export class Refused extends Error {}

// ask asks one question. Parameters that are empty are left out.
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== ''));
  let response;
  let body;
  try {
    response = await fetch(`api/${path}?${query}`, { signal });
    body = await response.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused('The server of this page does not answer: kubectl macpool ui has ended. Start it again, and open the address that it prints.');
  }
  if (!response.ok) throw new Refused(body.error ?? `The server of this page answered ${response.status}.`);
  return body;
}

// latest makes a question of which only the last answer counts: a new one ends the one before, whose answer is undefined.
export function latest(path) {
  let running;
  return async (parameters) => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    try {
      return await ask(path, parameters, mine.signal);
    } catch (error) {
      if (error.name === 'AbortError') return undefined;
      throw error;
    }
  };
}
