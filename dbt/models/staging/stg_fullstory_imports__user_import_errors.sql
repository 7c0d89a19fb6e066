{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{%- set columns = loaded_columns('user_import_errors') %}

select
    {{ field(columns, ['job_id'], 'str', is_key=true) }},
    {{ field(columns, ['error_index'], 'int', is_key=true) }},
    {{ field(columns, ['message'], 'str') }},
    {{ field(columns, ['code'], 'str') }},
    {{ field(columns, ['user'], 'json') }},
    {{ field(columns, ['user', 'id'], 'str') }},
    {{ field(columns, ['user', 'uid'], 'str') }},
    {{ field(columns, ['user', 'display_name'], 'str') }},
    {{ field(columns, ['user', 'email'], 'str') }},
    {{ field(columns, ['user', 'properties'], 'json') }},
    {{ field(columns, ['user', 'schema'], 'json') }},
    {{ field(columns, ['_sdc_extracted_at'], 'date') }},
    {{ field(columns, ['_sdc_batched_at'], 'date') }}
from {{ loaded_rows('user_import_errors') }}
