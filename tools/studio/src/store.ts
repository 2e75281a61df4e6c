// What the page knows, and who wants to be told when it changes.

import { Latest, type Checked, type Fact, type Facts, type OpenedFile, type Outline, type Start } from "./api";

type Listener = () => void;
type What = "checked" | "facts" | "edited" | "filled" | "reread";

export class Store {
  /** The files of the policy, as the server last said; their `text` is what is on the disk. */
  files: (OpenedFile & { text: string })[] = [];
  /** Texts that differ from those on the disk, by the numbers of files. */
  edited: Record<string, string> = {};
  checked: Checked | null = null;
  /** What the policy defines; while it has errors, what it defined before. */
  outline: Outline | null = null;
  facts: Facts = {};
  /** The names of files that are edited here and have changed on the disk since they were opened. */
  behind: string[] = [];
  private listeners: Record<What, Listener[]> = { checked: [], facts: [], edited: [], filled: [], reread: [] };
  private checking = new Latest();

  constructor(readonly start: Start) {
    for (const field of start.fields) this.facts[field.name] = field.value;
  }

  on(what: What, listener: Listener): void {
    this.listeners[what].push(listener);
  }

  text(id: string): string {
    return this.edited[id] ?? this.files.find((file) => file.id === id)?.text ?? "";
  }

  edit(id: string, text: string): void {
    if (this.files.find((file) => file.id === id)?.text === text) delete this.edited[id];
    else this.edited[id] = text;
    this.tell("edited");
  }

  /** Takes note that a file was written, or read anew. */
  onDisk(id: string, text: string, digest: string): void {
    this.files = this.files.map((file) => (file.id === id ? { ...file, text, digest } : file));
  }

  state(name: string, value: Fact): void {
    this.facts[name] = value;
    this.tell("facts");
  }

  /** States facts elsewhere than in the form, which has to show them. */
  fill(facts: Facts): void {
    Object.assign(this.facts, facts);
    this.tell("filled");
    this.tell("facts");
  }

  /** What a question about the policy as it is edited is sent. */
  asking(): { texts: Record<string, string>; facts: Facts } {
    return { texts: this.edited, facts: this.facts };
  }

  /** Has the texts checked; a check that is still under way is given up. */
  async check(): Promise<void> {
    const known = Object.fromEntries(this.files.map((file) => [file.id, file.digest]));
    const checked = await this.checking.ask<Checked>("check", { texts: this.edited, known });
    if (!checked) return;
    this.take(checked.files);
    this.checked = checked;
    this.outline = checked.policy ?? this.outline;
    this.tell("checked");
  }

  /**
   * Takes the files as they are on the disk now. Of one that is edited here, what it held when it was opened stays what its
   * changes are measured by, until it is saved or loaded again.
   */
  private take(files: OpenedFile[]): void {
    const known = new Map(this.files.map((file) => [file.id, file]));
    this.behind = files.filter((file) => this.edited[file.id] !== undefined && known.get(file.id)?.digest !== file.digest).map((file) => file.name);
    this.files = files.map((file) => {
      const before = known.get(file.id);
      if (before && (file.text === null || this.edited[file.id] !== undefined)) return before;
      return { ...file, text: file.text ?? "" };
    });
    if (this.files.some((file) => known.has(file.id) && known.get(file.id)?.text !== file.text)) this.tell("reread");
  }

  private tell(what: What): void {
    for (const listener of this.listeners[what]) listener();
  }
}
