/** What a part of the page is. */
import type { Command, Message } from './protocol.ts';

/** It hears every message at once, and may keep what it needs; it touches the document only when it is asked to draw. */
export interface View {
  receive(message: Message): void;
  /** Called at most once a frame, after messages came. */
  draw(): void;
}

/** Puts a view into its place, an empty element of the page. `send` passes a command to the worker. */
export type MakeView = (place: HTMLElement, send: (command: Command) => void) => View;
