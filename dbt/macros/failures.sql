{#- Prints up to 20 rows of each test that has found some, because dbt only counts them. -#}
{%- macro print_failures(results) -%}
    {%- for result in results if result.failures and result.node.package_name == 'dbt_fullstory_imports' -%}
        {%- do log(result.node.name, info=true) -%}
        {%- for row in run_query('select * from (' ~ result.node.compiled_code ~ ') as failures limit 21').rows -%}
            {%- set cells = [] -%}
            {%- for name, value in row.dict().items() -%}
                {%- do cells.append(name | lower ~ ': ' ~ value) -%}
            {%- endfor -%}
            {%- do log('    … and more' if loop.index > 20 else '    ' ~ cells | join(', '), info=true) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro -%}
