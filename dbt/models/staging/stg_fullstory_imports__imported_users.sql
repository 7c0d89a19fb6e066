{#- Written by `make dbt-models` from the tap's schemas. Do not edit. -#}
{%- set columns = loaded_columns('imported_users') %}

select
    {{ field(columns, ['job_id'], 'str', is_key=true) }},
    {{ field(columns, ['user_index'], 'int', is_key=true) }},
    {{ field(columns, ['id'], 'str') }},
    {{ field(columns, ['uid'], 'str') }},
    {{ field(columns, ['display_name'], 'str') }},
    {{ field(columns, ['email'], 'str') }},
    {{ field(columns, ['properties'], 'json') }},
    {{ field(columns, ['schema'], 'json') }},
    {{ field(columns, ['type_conflicts'], 'json') }},
    {{ field(columns, ['_sdc_extracted_at'], 'date') }},
    {{ field(columns, ['_sdc_batched_at'], 'date') }}
from {{ loaded_rows('imported_users') }}
