// What a program does with the client that openapi-typescript generates. Lines below `@ts-expect-error` must not compile.
import createClient from "openapi-fetch";
import type { components, paths, webhooks } from "./schema.js";

declare const process: { argv: string[] };

type Task = components["schemas"]["Task"];
type Outcome = components["schemas"]["Outcome"];
type Successes = Extract<keyof paths["/api/tasks"]["post"]["responses"], 200 | 201 | 202 | 204>;
type Callback = webhooks["taskEnded"]["post"]["requestBody"]["content"]["application/json"];

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

// Compiles only if 202 is the one success of a submission.
export const success: 202 extends Successes ? Successes : never = 202;

function must<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no answer");
  return answer.data;
}

async function ended(task_id: Task["task_id"]): Promise<Outcome> {
  for (let tries = 0; tries < 600; tries++) {
    const answer = await client.GET("/api/tasks/{task_id}/result", { params: { path: { task_id } } });
    if (answer.data !== undefined) return answer.data;
    if (answer.error.code !== "not_ended") throw new Error(answer.error.detail);
    await new Promise<void>((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the task does not end");
}

function received(callback: Callback): string {
  return callback.error === null ? callback.status : callback.error.message;
}

const accepted = must(await client.POST("/api/tasks", { body: { result_url: null, task_type: "fibonacci" } }));
const outcome = await ended(accepted.task.task_id);
if (received(outcome) !== "done") throw new Error(received(outcome));

const listed = must(await client.GET("/api/tasks", { params: { query: { status: ["done", "failed"], limit: 1 } } }));
if (listed[0]?.task_id !== accepted.task.task_id) throw new Error("the task is not listed");

const refused = await client.POST("/api/tasks", { body: { result_url: null, task_type: "no-such-type" } });
if (refused.error?.errors?.[0]?.pointer !== "/task_type") throw new Error("the mistake is not named");
must(await client.POST("/api/deliveries/redeliver", { body: { host: "example.com" } }));
must(await client.GET("/api/deliveries", { params: { query: { status: "dead" } } }));

export async function mistakes(): Promise<void> {
  // @ts-expect-error There is no such state.
  await client.GET("/api/tasks", { params: { query: { status: ["dnoe"] } } });
  // @ts-expect-error States are a list.
  await client.GET("/api/tasks", { params: { query: { status: "done" } } });
  // @ts-expect-error The status of deliveries is required.
  await client.GET("/api/deliveries", {});
  // @ts-expect-error `result_url` is required.
  await client.POST("/api/tasks", { body: { task_type: "fibonacci" } });
  // @ts-expect-error There is no such member.
  const body: components["schemas"]["TaskSubmission"] = { result_url: null, task_type: "fibonacci", input: {} };
  await client.POST("/api/tasks", { body });
}
