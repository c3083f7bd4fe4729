// What a page needs to make a form of a JSON Schema, draft 2020-12, with react-jsonschema-form.
import Ajv2020 from "ajv/dist/2020";
import Form from "@rjsf/core";
import { customizeValidator } from "@rjsf/validator-ajv8";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

const validator = customizeValidator({ AjvClass: Ajv2020 });

window.renderForm = (element, properties) =>
  createRoot(element).render(createElement(Form, { validator, ...properties }));
