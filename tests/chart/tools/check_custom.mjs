// Validates custom resources, a JSON list on standard input, by the schemas of @kubernetes-models; prints what is wrong.
// Those let an unknown field pass, so each field's name has to occur in the types of the resource's API version too.
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = {
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
  "gateway.networking.k8s.io": "gateway-api",
};
// Types of Kubernetes that they borrow.
const BORROWED = [
  "@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector.d.ts",
  "kubernetes-models/autoscaling/v2/HorizontalPodAutoscalerBehavior.d.ts",
  "kubernetes-models/autoscaling/v2/HPAScalingRules.d.ts",
  "kubernetes-models/autoscaling/v2/HPAScalingPolicy.d.ts",
];
// Maps whose keys are free.
const FREE = new Set(["labels", "annotations", "matchLabels"]);
const modules = resolve(process.argv[2], "node_modules");

const problems = [];
for (const object of JSON.parse(readFileSync(0, "utf-8"))) {
  const [group, version] = object.apiVersion.split("/");
  const say = (text) => problems.push(`${object.kind} ${object.metadata.name}: ${text}`);
  if (!(group in PACKAGES)) {
    say(`no schema is known for ${object.apiVersion}`);
    continue;
  }
  const folder = join(modules, "@kubernetes-models", PACKAGES[group], group, version);
  const models = await import(pathToFileURL(join(folder, "index.js")));
  if (!(object.kind in models)) {
    say(`${object.apiVersion} has no such kind`);
    continue;
  }
  try {
    new models[object.kind](object).validate();
  } catch (error) {
    say(error.message);
  }
  const known = names(folder);
  for (const name of fields(object.spec, object.kind)) if (!known.has(name)) say(`unknown field ${name}`);
}
console.log(JSON.stringify(problems));

function names(folder) {
  const types = readdirSync(folder).filter((each) => each.endsWith(".d.ts")).map((each) => join(folder, each));
  const texts = [...types, ...BORROWED.map((each) => join(modules, each))].map((each) => readFileSync(each, "utf-8"));
  return new Set(texts.flatMap((text) => [...text.matchAll(/^\s*"?([A-Za-z0-9_$]+)"?\??:/gm)].map((match) => match[1])));
}

function* fields(value, parent) {
  if (Array.isArray(value)) for (const each of value) yield* fields(each, parent);
  else if (value && typeof value === "object")
    for (const [name, inner] of Object.entries(value)) {
      yield name;
      // What a trigger of KEDA takes is its own matter.
      if (!FREE.has(name) && name !== "metadata") yield* fields(inner, name);
    }
}
