// What the server is asked, and what it answers. The token comes in the fragment of the address, which browsers send to
// nobody; it is kept for this tab, so that the page can be loaded again, and taken out of what the address bar shows.

export type Problem = {
  id: string | null; file: string; line: number; column: number; from: number; to: number;
  severity: "error" | "warning"; code: string; message: string; hint: string | null;
};
export type OpenedFile = { id: string; name: string; kind: "policy" | "included" | "cases"; text: string | null; digest: string };
export type RuleOutline = { id: string; kind: string; shadow: boolean };
export type Outline = {
  hash: string; mode: string; tiers: string[]; lists: Record<string, string[]>; rules: RuleOutline[]; reads: string[];
};
export type Checked = { problems: Problem[]; errors: number; warnings: number; policy: Outline | null; files: OpenedFile[] };
export type Field = { name: string; type: string; what: string; always: boolean; choices: string[]; value: Fact };
export type Fact = null | string | number | boolean | string[] | Record<string, string | number>;
export type Facts = Record<string, Fact>;
export type Key = { name: string; what: string; required: boolean; options: string[]; keys: Key[] };
export type Callable = { name: string; what: string; forms: string[]; follows_a_dot: boolean };
export type Vocabulary = {
  keys: Key[]; case_keys: Key[]; facts: { name: string; type: string; what: string; example: string }[]; functions: Callable[];
};
export type CaseShown = {
  title: string; line: number; passed: boolean | null; calls?: number;
  failure?: {
    line: number; call: number; calls: number; after_s: number; decision: Decision; trace: TracedRule[];
    differences: { aspect: string; expected: string; came: string }[];
  };
};
export type CaseFile = { id: string | null; name: string; policy: string; problems: Problem[]; broken: boolean; cases: CaseShown[] };
export type Coverage = {
  percent: number; seen: number; total: number;
  rules: { file: string | null; line: number; id: string; state: "full" | "part" | "none"; gaps: { line: number; words: string }[] }[];
};
export type CaseAnswer = { files: CaseFile[]; coverage: Coverage | null; finished: boolean };
export type Pasted = {
  answer: string; about: [string, string][]; notes: string[]; facts: Facts;
  told: { status: number; headers: string[]; body: string } | null;
  sources: { name: string; value: string | null; source: string; read_by: string[] }[];
};
export type Row = { value: string; requests: number; newly_denied: number; newly_throttled: number; newly_allowed: number };
type Side = { effects: Record<string, number> };
type Grounds = { effect: string; because: string[]; unknown: string[] };
type KeyEdit = { key: string; old: string | null; new: string | null };
export type Comparison = {
  old: Side; new: Side; newly_refused: number; changes: Record<string, number>;
  recording: { lines: number; broken: number; rejected: number; redacted: number };
  policy_changes: {
    keys: KeyEdit[]; lists: { name: string; edit: string; added: string[]; removed: string[] }[];
    rules: { id: string; kind: string; edit: string; old_id: string | null; keys: KeyEdit[] }[];
  };
  reasons: {
    change: string; old: Grounds; new: Grounds; requests: number; accounts: number; more_accounts: boolean;
    examples: { n: number; ts: number; account: string | null; tier: string; country: string | null; model: string | null }[];
  }[];
  by: Record<string, { rows: Row[] }>;
  over_time: { step_s: number; steps: (Omit<Row, "value"> & { ts: number })[] };
};
export type Start = { name: string; may_save: boolean; recording: string | null; against: string | null; fields: Field[]; vocabulary: Vocabulary };
export type Charge = {
  throttle: string; key: string; amount: number; unit: string; burst: number; rate: number; period_s: number; shadow: boolean;
};
export type Decision = {
  effect: string; status: number; rules: string[]; unknown: string[]; would: string | null; shadow_rules: string[];
  message: string | null; help_url: string | null; charges: Charge[];
  reshaping: { remove: string[]; cap: Record<string, number>; hide: string[] };
};
export type Part = { source: string; kind: string; state: "true" | "false" | "unknown" | "value"; value: string; parts: Part[] };
export type TracedRule = {
  id: string; kind: string; shadow: boolean; description: string | null; message: string | null; file: string | null;
  line: number; applies: boolean; unknown: string | null; expressions: Record<string, Part>;
};
export type Decided = { decision: Decision | null; trace: TracedRule[]; reads: string[] };
export type Outcome = "allowed" | "changed" | "would" | "refused";
export type Country = { outcome: Outcome; rules: string[]; shadow_rules: string[]; unknown: string[]; message: string | null };
export type Mapped = { countries: Record<string, Country> | null };
export type Change = { id: string; name: string; digest: string; disk: string; lines: string[] };
export type Changes = { changes: Change[]; may_save: boolean };
export type Saved = { saved: boolean; why?: string; digest?: string };

const KEPT = "studio-token";
/** Longer than the server lets cases run. */
const DEADLINE_MS = 75_000;
const MAX_BYTES = 15_000_000;

/** The server refused or did not answer. The message is for the author. */
export class AskError extends Error {}

takeToken();
// The address of another start on the same port, opened where this page is, changes nothing but the fragment.
window.addEventListener("hashchange", () => takeToken() && location.reload());

function takeToken(): boolean {
  if (location.hash.length <= 20) return false;
  sessionStorage.setItem(KEPT, location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  return true;
}

/** Asks the server. Throws AskError, and whatever `signal` was aborted with. */
export async function ask<T>(question: string, body: object = {}, signal?: AbortSignal): Promise<T> {
  const response = await send(question, body, signal ? AbortSignal.any([signal, deadline()]) : deadline());
  const answer = await response.json().catch((error: unknown) => {
    throw asAskError(error);
  });
  if (!response.ok) throw new AskError(answer.error ?? "The studio could not answer.");
  return answer as T;
}

/** Sends a question and returns the response as it comes. */
export async function send(question: string, body: object, signal: AbortSignal): Promise<Response> {
  const sent = new Blob([JSON.stringify(body)]);
  if (sent.size > MAX_BYTES) throw new AskError("The texts on this page are too long: the studio takes 15 MB at a time.");
  try {
    return await fetch(`/api/${question}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Studio-Token": sessionStorage.getItem(KEPT) ?? "" },
      body: sent,
      signal,
    });
  } catch (error) {
    throw asAskError(error);
  }
}

/** Returns what to tell the author when a request ended so; what the page itself has given up stays what it is. */
export function asAskError(error: unknown): unknown {
  if (error instanceof DOMException && error.name === "AbortError") return error;
  if (error instanceof DOMException && error.name === "TimeoutError") return new AskError("The studio takes too long to answer.");
  return new AskError("The studio does not answer. Is `modelfence studio` still running?");
}

/** Asks again and again, and takes the answer to the last question only. */
export class Latest {
  private under_way: AbortController | null = null;

  /** Returns the answer, or null when something was asked after it. Throws AskError. */
  async ask<T>(question: string, body: object): Promise<T | null> {
    this.under_way?.abort();
    const own = (this.under_way = new AbortController());
    try {
      const answer = await ask<T>(question, body, own.signal);
      return own.signal.aborted ? null : answer;
    } catch (error) {
      if (own.signal.aborted) return null;
      throw error;
    }
  }
}

function deadline(): AbortSignal {
  return AbortSignal.timeout(DEADLINE_MS);
}
